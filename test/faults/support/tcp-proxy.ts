import { createServer, connect, type Socket } from "node:net";

/** One client's connection through the proxy. `startup`: its first bytes; `sent`: what it sent since its last `begin`. */
export interface Link {
  readonly startup: string;
  readonly sent: string;
}
export interface TcpProxy {
  readonly port: number;
  /** each chunk on its way to the server waits so long */
  latencyMs: number;
  /** connections made from now on are accepted and never answered */
  deaf: boolean;
  /** Open connections that match hear nothing any more, and nobody closes them. Returns how many. */
  silence(match?: (link: Link) => boolean): number;
  /** Ends open connections that match with a RST. */
  reset(match?: (link: Link) => boolean): number;
  /** The server gets the chunk that matches and works it off; its reply is lost with the connection. Resolves when that happened. */
  loseReply(match: (chunk: string, link: Link) => boolean): Promise<void>;
  /** The chunk that matches never reaches the server, and its connection ends. Resolves when that happened. */
  refuse(match: (chunk: string, link: Link) => boolean): Promise<void>;
  close(): Promise<void>;
}

interface Wired extends Link {
  startup: string;
  sent: string;
  client: Socket;
  server: Socket;
  silent: boolean;
  losing: (() => void) | null;
}
const kept = 65_536;

/** A TCP proxy on loopback between Baton's processes and a server, with the faults of a network. */
export async function openProxy(target: number): Promise<TcpProxy> {
  const links = new Set<Wired>();
  let armed: { match: (chunk: string, link: Link) => boolean; happened: () => void; refuse: boolean } | null = null;
  const listener = createServer((client) => {
    const server = connect(target, "127.0.0.1");
    const link: Wired = { startup: "", sent: "", client, server, silent: proxy.deaf, losing: null };
    links.add(link);
    for (const socket of [client, server]) {
      socket.setNoDelay(true).on("error", () => undefined);
      socket.on("close", () => {
        // A silent link stays so: its client learns of nothing, not even of the server's death.
        if (link.silent && socket === server) return;
        links.delete(link);
        client.destroy();
        server.destroy();
      });
    }
    client.on("data", (piece) => {
      if (link.silent) return;
      const text = piece.toString("latin1");
      if (link.startup === "") link.startup = text;
      if (/\bbegin\0/.test(text)) link.sent = "";
      link.sent = (link.sent + text).slice(-kept);
      if (armed?.match(text, link)) {
        const { happened, refuse } = armed;
        armed = null;
        if (refuse) {
          client.resetAndDestroy();
          server.destroy();
          return happened();
        }
        link.losing = happened;
      }
      if (proxy.latencyMs === 0) server.write(piece);
      else setTimeout(() => server.writable && server.write(piece), proxy.latencyMs);
    });
    server.on("data", (piece) => {
      if (link.silent) return;
      if (!link.losing) return void client.write(piece);
      // Postgres replies when it has committed: from here on only the answer is missing.
      link.silent = true;
      client.resetAndDestroy();
      server.destroy();
      link.losing();
    });
  });
  const each = (match: (link: Link) => boolean, act: (link: Wired) => void): number => {
    const found = [...links].filter((link) => !link.silent && match(link));
    found.forEach(act);
    return found.length;
  };
  const proxy: TcpProxy = {
    port: 0,
    latencyMs: 0,
    deaf: false,
    silence: (match = () => true) => each(match, (link) => (link.silent = true)),
    reset: (match = () => true) => each(match, (link) => void (link.client.resetAndDestroy(), link.server.destroy())),
    loseReply: (match) =>
      new Promise<void>((happened) => {
        armed = { match, happened, refuse: false };
      }),
    refuse: (match) =>
      new Promise<void>((happened) => {
        armed = { match, happened, refuse: true };
      }),
    async close() {
      for (const { client, server } of links) void (client.destroy(), server.destroy());
      await new Promise((resolve) => listener.close(resolve));
    },
  };
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return Object.assign(proxy, { port: (listener.address() as { port: number }).port });
}

/** The same address through the proxy. */
export function through(proxy: TcpProxy, url: string): string {
  const changed = new URL(url);
  changed.port = String(proxy.port);
  return changed.href;
}
