import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { localPrincipal } from "../client/caller.ts";
import type { Baton, Caller } from "../client/open-baton.ts";

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

/** Who a request's `Authorization` header says is calling; null: nobody we know. */
export type Authenticate = (authorization: string | undefined) => Promise<Caller | null>;

/** The operator by the token of the file, everybody else by a token of Postgres. Rejects with UNAVAILABLE when that cannot be asked. */
export function authenticator(operatorToken: string, baton: () => Promise<Baton>): Authenticate {
  return async (authorization) => {
    const sent = /^Bearer +(.+)$/i.exec(authorization ?? "")?.[1]?.trim() ?? "";
    if (equal(sent, operatorToken)) return { principal: localPrincipal };
    return sent === "" ? null : (await baton()).tokens.caller(sent);
  };
}

/** Takes the same time whatever was sent. */
function equal(sent: string, token: string): boolean {
  return timingSafeEqual(createHash("sha256").update(sent).digest(), createHash("sha256").update(token).digest());
}
