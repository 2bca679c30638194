import { spawn } from "node:child_process";

/** What one part of the suite found. */
export interface Tally {
  name: string;
  passed: number;
  /** a line each */
  failures: string[];
}

/** Runs a program to its end. */
export async function run(argv: string[], env: Record<string, string> = {}): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const [program = process.execPath, ...args] = argv;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (piece: string) => {
      said[name] += piece;
    });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, ...said };
}
