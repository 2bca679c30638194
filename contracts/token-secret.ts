import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const pattern = /^baton_([0-9A-HJKMNP-TV-Z]{26})_([A-Za-z0-9_-]{43})$/;

/** A token's secret (256 bits), which names its row, and the hash that is all we keep of it. */
export function newSecret(tokenId: string): { secret: string; secretSha256: string } {
  const secret = `baton_${tokenId}_${randomBytes(32).toString("base64url")}`;
  return { secret, secretSha256: sha256(secret) };
}

/** The id of the row that a secret names; null: it is none of ours. */
export function tokenIdOf(secret: string): string | null {
  return pattern.exec(secret)?.[1] ?? null;
}

/** Takes the same time whatever the secret. */
export function fits(secret: string, secretSha256: string): boolean {
  return timingSafeEqual(Buffer.from(sha256(secret), "hex"), Buffer.from(secretSha256, "hex"));
}

/** A text without our tokens' secrets, for what is written down about calls. */
export function withoutTokens(text: string): string {
  return text.replaceAll(/baton_[0-9A-HJKMNP-TV-Z]{26}_[A-Za-z0-9_-]+/g, "[token]");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
