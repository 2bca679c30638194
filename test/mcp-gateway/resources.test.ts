import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { type Baton, type Caller, openBaton } from "../../client/open-baton.ts";
import { waitLimit } from "../../mcp-gateway/long-polls.ts";
import { bothRevisions, type Revisions } from "../../mcp-gateway/revisions.ts";
import { createServer, subscribe } from "../../mcp-gateway/server.ts";
import { batonOptions, repository } from "../client/support.ts";
import { freshStore, newSession, talking } from "../store/rows.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";

const home = temporaryDirectory();
const repositoryPath = join(home, "repository");
const caller: Caller = { principal: "local" };
const waits = waitLimit(4, 4);
let fresh: Awaited<ReturnType<typeof freshStore>>;
let baton: Baton;
let door: Revisions;
const open: Client[] = [];

beforeAll(async () => {
  fresh = await freshStore();
  repository(repositoryPath);
  baton = await openBaton(batonOptions({ home, databaseUrl: fresh.url, instance: "test" }));
  const parts = (who: Caller) => ({ baton: () => Promise.resolve(baton), caller: who, report: () => {}, waits, progressMs: 10_000 });
  door = bothRevisions({
    build: (who) => createServer(parts(who), { subscribable: true }),
    subscribe: (who) => subscribe(parts(who)),
    secret: "secret",
    largestBody: 1_000_000,
  });
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close()));
});
afterAll(async () => {
  await door?.close();
  await baton?.close();
  await fresh?.end();
});

type Era = "legacy" | "auto";
/** A client without a socket: its requests are handed to the door. */
async function client(mode: Era, who: Caller = caller): Promise<Client> {
  const made = new Client({ name: "t", version: "1" }, { versionNegotiation: { mode } });
  const fetch = (url: string | URL, init?: RequestInit) => door.fetch(new Request(url, init), who);
  await made.connect(new StreamableHTTPClientTransport(new URL("http://127.0.0.1/mcp"), { fetch }));
  open.push(made);
  return made;
}

const session = (...texts: string[]) => talking(fresh.store, ...texts);

describe.each<[string, Era]>([
  ["2025-11-25", "legacy"],
  ["2026-07-28", "auto"],
])("a client of %s", (_name, era) => {
  test("reads sessions as resources, and completes their ids", async () => {
    const { ulid, lastSeq } = await session("first words", "second words");
    const by = await client(era);
    const read = async (path: string) => ((await by.readResource({ uri: `session://${ulid}${path}` })).contents[0] as { text: string }).text;
    expect(JSON.parse(await read(""))).toMatchObject({ sessionUlid: ulid });
    const seqs = (text: string) =>
      text
        .split("\n")
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as { seq: number }).seq);
    expect(seqs(await read("/events"))).toEqual(Array.from({ length: lastSeq }, (_, n) => n + 1));
    expect(seqs(await read(`/events/${lastSeq - 1}`))).toEqual([lastSeq]);
    expect(await read("/transcript")).toMatch(/first words[^]*second words/);
    const newest = await read(`/transcript/${lastSeq}`);
    expect(newest).toContain("second words");
    expect(newest).not.toContain("first words");
    const { resourceTemplates } = await by.listResourceTemplates();
    const paths = ["", "/transcript", "/transcript/{from}", "/events", "/events/{from}", "/prompt", "/config", "/spec"];
    expect(resourceTemplates.map((template) => template.uriTemplate)).toEqual(paths.map((path) => `session://{ulid}${path}`));
    expect((await by.listResources()).resources.map((resource) => resource.uri)).toContain(`session://${ulid}`);
    const ref = { type: "ref/resource" as const, uri: "session://{ulid}" };
    expect((await by.complete({ ref, argument: { name: "ulid", value: ulid.slice(0, 24) } })).completion.values).toContain(ulid);
    expect((await by.complete({ ref, argument: { name: "ulid", value: "ZZZ" } })).completion.values).toEqual([]);
  });

  test.each([
    "session://01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "session://01ARZ3NDEKTSV4RRFFQ69G5FAV/nonsense",
    "session://01ARZ3NDEKTSV4RRFFQ69G5FAV/events/x",
    "nonsense",
  ])("is told -32602 for the resource %s", async (uri) => {
    await expect((await client(era)).readResource({ uri })).rejects.toMatchObject({ code: -32602 });
  });

  test("reads what a session was made of", async () => {
    const { data } = await baton.sessions.launch(
      { ...caller, actor: "@test" },
      {
        clientRequestId: `made-${era}`,
        actor: "@test",
        taskKey: `MADE-${era}`,
        launcherConfigKey: "demo-executor",
        agentHandle: "executor",
        prompt: "Say what you are made of.",
        task: { title: "x", repositoryPath, projectKey: "MADE" },
      },
    );
    const by = await client(era);
    const read = async (path: string) =>
      JSON.parse(((await by.readResource({ uri: `session://${String(data["sessionUlid"])}${path}` })).contents[0] as { text: string }).text) as unknown;
    expect(await read("/prompt")).toMatchObject({ firstPrompt: expect.stringContaining("made of") });
    expect(await read("/config")).toMatchObject({ preset: { key: "demo-executor" } });
    expect(await read("/spec")).toEqual(expect.objectContaining({ prompt: expect.anything() }));
  });

  test("reads the whole of what an answer cuts: the resource that it names", async () => {
    const firstPrompt = `${"ä".repeat(130_000)}end`;
    const systemPrompt = "s".repeat(250_000);
    const { sessionUlid } = await newSession(fresh.store, {
      branchName: `baton/whole-${era}`,
      systemPrompt,
      args: { effective: { permissions: { mode: "ask" }, limits: {}, scenario: "x".repeat(230_000) } },
    });
    const made = { sessionUlid, firstPrompt, promptMode: "explicit" as const, sections: [], overrides: [], bootstrap: [] };
    await fresh.store.transaction((tx) => fresh.store.launches.insert(tx, made));
    const by = await client(era);
    const cut = await by.callTool({ name: "pm_session_read", arguments: { action: "prompt", sessionUlid, maxBytes: 204_800 } });
    const { data } = cut.structuredContent as { data: { truncated: { firstPrompt: { resource: string } } } };
    const read = async (uri: string) => JSON.parse(((await by.readResource({ uri })).contents[0] as { text: string }).text) as Record<string, unknown>;
    const prompt = await read(data.truncated.firstPrompt.resource);
    expect([prompt["firstPrompt"] === firstPrompt, prompt["systemPrompt"] === systemPrompt, prompt["truncated"]]).toEqual([true, true, undefined]);
    for (const path of ["config", "spec"]) {
      const whole = await read(`session://${sessionUlid}/${path}`);
      expect([(whole["effective"] as { scenario?: string } | null)?.scenario?.length, whole["truncated"]]).toEqual([230_000, undefined]);
    }
  });

  test("hears of a session that it subscribed to, and of no other", async () => {
    const [{ ulid, more }, other] = [await session("one"), await session("elsewhere")];
    const uri = `session://${ulid}/events`;
    const none = "session://01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const by = await client(era);
    const heard: string[] = [];
    by.setNotificationHandler("notifications/resources/updated", ({ params }) => {
      heard.push(params.uri);
    });
    const listening = era === "auto" ? await by.listen({ resourceSubscriptions: [none, uri] }) : null;
    if (listening) expect(listening.honoredFilter).toEqual({ resourceSubscriptions: [uri] });
    else {
      await expect(by.subscribeResource({ uri: none })).rejects.toMatchObject({ code: -32602 });
      await by.subscribeResource({ uri });
    }
    await other.more("not yours");
    await more("two");
    await until("the first news", () => heard.length === 1);
    await more("three", "four");
    await until("the second news", () => heard.length === 2);
    expect(heard).toEqual([uri, uri]);
    if (listening) await listening.close();
    else await by.unsubscribeResource({ uri });
    // Its place is free again.
    await until("four places", () => {
      const taken: (() => void)[] = [];
      try {
        while (taken.length < 4) taken.push(waits.enter(caller));
        return true;
      } catch {
        return false;
      } finally {
        for (const leave of taken) leave();
      }
    });
  });

  test("neither reads nor hears of what another principal's is", async () => {
    const { ulid } = await session("not yours");
    const by = await client(era, { principal: "other" });
    const uri = `session://${ulid}`;
    await expect(by.readResource({ uri })).rejects.toMatchObject({ code: -32602 });
    expect((await by.listResources()).resources).toEqual([]);
    const ref = { type: "ref/resource" as const, uri: "session://{ulid}" };
    expect((await by.complete({ ref, argument: { name: "ulid", value: "" } })).completion.values).toEqual([]);
    if (era === "legacy") await expect(by.subscribeResource({ uri })).rejects.toMatchObject({ code: -32602 });
    else expect((await by.listen({ resourceSubscriptions: [uri] })).honoredFilter.resourceSubscriptions ?? []).toEqual([]);
  });
});
