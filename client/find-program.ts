import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { isAbsolute, join } from "node:path";

/** Path of an executable: itself when absolute, else the first on `searchPath` (directories separated by `:`); null: not there. */
export async function findProgram(program: string, searchPath: string): Promise<string | null> {
  const directories = searchPath.split(":").filter(Boolean);
  for (const candidate of isAbsolute(program) ? [program] : directories.map((directory) => join(directory, program))) {
    if (await isExecutable(candidate)) return candidate;
  }
  return null;
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
