import { existsSync } from "node:fs";

const setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].find((path) => existsSync(path));

/**
 * argv that makes the kernel send `signal` to the process when its parent dies, `kill -9` included.
 * Without util-linux the argv as it is: then the next start ends what the last one left (leftovers.ts).
 */
export function dieWithParent(signal: "TERM" | "INT" | "KILL", argv: string[]): string[] {
  return setpriv === undefined ? argv : [setpriv, "--pdeathsig", signal, "--", ...argv];
}
