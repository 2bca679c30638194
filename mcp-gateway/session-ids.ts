import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { SUPPORTED_PROTOCOL_VERSIONS } from "@modelcontextprotocol/server";

/**
 * Ids of 2025 sessions. An id says by itself which revision was agreed on and is signed for its owner: so any gateway takes up the session
 * of one that was killed, and nobody else's id is worth anything. `secret`: the same in every gateway of a Baton.
 */
export function sessionIds(secret: string): { make(owner: string, version: string): string; versionOf(id: string, owner: string): string | null } {
  const sign = (nonce: string, version: string, owner: string): string =>
    createHmac("sha256", secret)
      .update(JSON.stringify(["mcp-session", nonce, version, owner]))
      .digest("base64url");
  return {
    make: (owner, version) => {
      const nonce = randomUUID();
      return `${nonce}.${version}.${sign(nonce, version, owner)}`;
    },
    versionOf: (id, owner) => {
      const [nonce = "", version = "", signature = ""] = id.split(".");
      if (!SUPPORTED_PROTOCOL_VERSIONS.includes(version)) return null;
      const right = Buffer.from(sign(nonce, version, owner));
      const sent = Buffer.from(signature);
      return right.length === sent.length && timingSafeEqual(right, sent) ? version : null;
    },
  };
}
