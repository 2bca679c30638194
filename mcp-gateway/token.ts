import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

/** The operator's token: read from the file, or made (0600) when there is none. Error: the file is there and holds nothing. */
export function tokenFromFile(path: string): string {
  try {
    // Exclusive: of two that start at once one writes, the other reads.
    writeFileSync(path, `${randomBytes(32).toString("base64url")}\n`, { flag: "wx", mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const token = readFileSync(path, "utf8").trim();
  if (token.length < 16) throw new Error(`The token in ${path} is too short: delete the file and start again.`);
  return token;
}

/** Whether a request's `Authorization` header carries the token. Takes the same time whatever it carries. */
export function carries(authorization: string | undefined, token: string): boolean {
  const sent = /^Bearer +(.+)$/i.exec(authorization ?? "")?.[1]?.trim() ?? "";
  return timingSafeEqual(createHash("sha256").update(sent).digest(), createHash("sha256").update(token).digest());
}
