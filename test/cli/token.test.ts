import { json, onCli } from "./on-cli.ts";

const { baton } = onCli();
const create = (...more: string[]) => baton(["token", "create", "carol", "--scopes", "session:read", "--json", ...more]);

test("a token that is to expire expires: a variable that is not set is no number of seconds", async () => {
  for (const seconds of ["", "soon"]) {
    const refused = await create("--expires", seconds);
    expect([seconds, refused.code, refused.stderr]).toEqual([seconds, 1, expect.stringContaining("whole number of seconds")]);
  }
  expect(json((await baton(["token", "list", "--json"])).stdout)).toEqual([]);
  const made = await create("--expires", "60");
  expect(json(made.stdout)["token"]).toMatchObject({ principal: "carol", expiresAt: expect.any(String) });
  expect(json((await create()).stdout)["token"]).toMatchObject({ expiresAt: null });
});
