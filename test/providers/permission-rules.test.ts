import { decide, type Permissions } from "../../providers/permission-rules.ts";

const cwd = "/checkout";
type Rules = NonNullable<Permissions["permissionRules"]>;
const says = (mode: Permissions["permissionMode"], call: object, permissionRules: Rules = [], outsideWorkspace?: "ask" | "deny") =>
  decide({ cwd, permissionMode: mode, permissionRules, ...(outsideWorkspace ? { outsideWorkspace } : {}) }, call as never).decision;
const edit = (...paths: string[]) => ({ kind: "edit", locations: paths.map((path) => ({ path })) });
const run = (command: string) => ({ kind: "execute", rawInput: { command } });

test("without a rule the mode decides", () => {
  expect(says("approve-all", edit("a"))).toBe("allow");
  expect(says("deny-all", { kind: "read" })).toBe("deny");
  expect(says("ask", { kind: "read" })).toBe("ask");
  expect([says("approve-reads", { kind: "read" }), says("approve-reads", edit("a"))]).toEqual(["allow", "deny"]);
});

test("the first rule that matches decides, before the mode", () => {
  const rules: Rules = [
    { tool: "edit", pathGlob: ".github/**", decision: "deny" },
    { tool: "edit", pathGlob: "docs/*.md", decision: "allow" },
    { tool: "*", decision: "ask" },
  ];
  expect(says("approve-all", edit(".github/workflows/x.yml"), rules)).toBe("deny");
  expect(says("deny-all", edit("docs/a.md"), rules)).toBe("allow");
  expect(says("deny-all", edit("docs/deep/a.md"), rules)).toBe("ask");
  expect(says("approve-all", edit(`${cwd}/docs/../.github/x`), rules)).toBe("deny");
  expect(decide({ cwd, permissionMode: "ask", permissionRules: rules }, edit("docs/a.md") as never).why).toContain("docs/*.md");
});

test("a permission must hold for every path, a refusal for any; hidden names are not spared; what names no path is not let through", () => {
  const allow: Rules = [{ tool: "edit", pathGlob: "src/**", decision: "allow" }];
  expect([says("deny-all", edit("src/a", "src/b"), allow), says("deny-all", edit("src/a", "b"), allow), says("deny-all", edit(), allow)]).toEqual([
    "allow",
    "deny",
    "deny",
  ]);
  const deny: Rules = [{ tool: "edit", pathGlob: "**/.env", decision: "deny" }];
  expect([says("approve-all", edit("a", ".env"), deny), says("approve-all", edit("x/.y/.env"), deny), says("approve-all", edit("env"), deny)]).toEqual([
    "deny",
    "deny",
    "allow",
  ]);
});

test("a permission for a command is for that command alone; a refusal finds it behind another", () => {
  const allow: Rules = [{ tool: "execute", commandPrefix: "npm test", decision: "allow" }];
  for (const command of ["npm test", "npm test -- a"]) expect(says("deny-all", run(command), allow)).toBe("allow");
  for (const command of ["npm testify", "npm test; rm -rf .", "npm test && x", "npm test $(x)", "npm test > a", "npm test `x`", "npm test\nx"])
    expect(says("deny-all", run(command), allow)).toBe("deny");
  const deny: Rules = [{ tool: "execute", commandPrefix: "git push", decision: "deny" }];
  expect([says("approve-all", run("git status; git push -f"), deny), says("approve-all", run("git status"), deny)]).toEqual(["deny", "allow"]);
  expect(says("deny-all", { kind: "execute", rawInput: { command: ["npm", "test"] } }, allow)).toBe("allow");
});

test("what a call does not say fits no permission, and every refusal or question about it", () => {
  const rule = (tool: string, decision: "allow" | "deny" | "ask", of: object): Rules => [{ tool, decision, ...of }];
  const path = { pathGlob: ".github/**" };
  const command = { commandPrefix: "git push" };
  const silent = (kind: string) => ({ kind, rawInput: {} });
  for (const tool of ["edit", "*"]) {
    expect(says("approve-all", silent("edit"), rule(tool, "deny", path))).toBe("deny");
    expect(says("approve-all", silent("edit"), rule(tool, "ask", path))).toBe("ask");
    expect(says("deny-all", silent("edit"), rule(tool, "allow", { pathGlob: "**" }))).toBe("deny");
  }
  for (const tool of ["execute", "*"]) {
    expect(says("approve-all", silent("execute"), rule(tool, "deny", command))).toBe("deny");
    expect(says("deny-all", silent("execute"), rule(tool, "allow", command))).toBe("deny");
  }
  // What has no path or no command hides none.
  for (const call of [run("npm test"), silent("think"), silent("fetch")]) expect(says("approve-all", call, rule("*", "deny", path))).toBe("allow");
  for (const call of [edit("a"), silent("other")]) expect(says("approve-all", call, rule("*", "deny", command))).toBe("allow");
});

test("a command that is said only as the title is that command; arguments go before the title", () => {
  const deny: Rules = [{ tool: "execute", commandPrefix: "git push", decision: "deny" }];
  expect(says("approve-all", { kind: "execute", title: "true; git push -f" }, deny)).toBe("deny");
  expect(says("approve-all", { kind: "execute", title: "git status" }, deny)).toBe("allow");
  expect(says("approve-all", { kind: "execute", title: "Show the state", rawInput: { command: "git push" } }, deny)).toBe("deny");
});

test("a change that names no path is not taken for one inside the workspace", () => {
  for (const kind of ["edit", "delete", "move"]) expect(says("approve-all", { kind }, [], "deny")).toBe("deny");
  expect(says("approve-all", { kind: "edit" }, [{ tool: "edit", pathGlob: "/tmp/**", decision: "ask" }], "deny")).toBe("deny");
  for (const call of [run("ls"), { kind: "read" }, { kind: "other" }]) expect(says("approve-all", call, [], "deny")).toBe("allow");
});

test("outside the workspace is asked about or denied, unless a rule names the place", () => {
  expect([says("approve-all", edit("/etc/passwd"), [], "deny"), says("approve-all", edit("../x"), [], "ask")]).toEqual(["deny", "ask"]);
  expect([says("approve-all", edit("a", `${cwd}/b`), [], "deny"), says("deny-all", edit("/etc/x"), [], "ask")]).toEqual(["allow", "deny"]);
  expect(says("ask", edit("/etc/passwd"), [{ tool: "edit", decision: "allow" }], "deny")).toBe("deny");
  expect(says("ask", edit("/tmp/a"), [{ tool: "edit", pathGlob: "/tmp/**", decision: "allow" }], "deny")).toBe("allow");
});
