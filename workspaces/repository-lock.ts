/** Runs bodies with the same key one after the other, in the order they came. */
export type Serialize = <T>(key: string, body: () => Promise<T>) => Promise<T>;

/**
 * A queue per key, within this process. Git's own locks do not cover `worktree add`: 20 at once fail now and then.
 * Only one host process runs git for Baton, so nothing wider is needed.
 */
export function createSerialize(): Serialize {
  const tails = new Map<string, Promise<unknown>>();
  return (key, body) => {
    const before = tails.get(key) ?? Promise.resolve();
    const mine = before.then(body, body);
    const settled = mine.then(
      () => {},
      () => {},
    );
    tails.set(key, settled);
    void settled.then(() => {
      if (tails.get(key) === settled) tails.delete(key);
    });
    return mine;
  };
}
