import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";

/** A port of 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (address !== null && typeof address === "object" ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}

/** Can 127.0.0.1:port be listened on right now? */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

export interface Ports {
  gateway: number;
  postgres: number;
  temporal: number;
  temporalUi: number;
}

/** `base` and the three behind it; 0: any free ones. `needed` names those that we will listen on. Error: names the holder of a busy one. */
export async function choosePorts(base: number, needed: readonly (keyof Ports)[]): Promise<Ports> {
  if (base === 0) return { gateway: await freePort(), postgres: await freePort(), temporal: await freePort(), temporalUi: await freePort() };
  const ports = { gateway: base, postgres: base + 1, temporal: base + 2, temporalUi: base + 3 };
  for (const name of needed) {
    if (await isFree(ports[name])) continue;
    const holder = holderOf(ports[name]);
    throw new Error(
      `Port ${ports[name]} (${name}) is taken${holder === null ? "" : ` by ${holder}`}. Set BATON_PORT to another number (it and the three behind it are used), or to 0 for any.`,
    );
  }
  return ports;
}

/** `pid 12 (command line)` of who listens on a TCP port: best effort, by /proc; null: cannot tell. */
export function holderOf(port: number): string | null {
  const inode = listeningInode(port);
  if (inode === null) return null;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const fds = orNull(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
    // Each by itself: one of them is the listing's own and closed by now, others come and go.
    if (!fds.some((fd) => orNull(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) === `socket:[${inode}]`)) continue;
    const command = orNull(() => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim().slice(0, 120));
    if (command !== null) return `pid ${pid} (${command})`;
  }
  return null;
}

/** Null: gone meanwhile, or another user's. */
function orNull<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}

function listeningInode(port: number): string | null {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    try {
      for (const line of readFileSync(table, "utf8").split("\n").slice(1)) {
        const fields = line.trim().split(/\s+/);
        if (fields[1]?.endsWith(`:${hex}`) && fields[3] === "0A") return fields[9] ?? null;
      }
    } catch {
      /* not Linux */
    }
  }
  return null;
}
