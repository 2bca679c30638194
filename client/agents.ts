import { join } from "node:path";
import { nearest } from "../contracts/did-you-mean.ts";
import { BatonError } from "../contracts/failures.ts";
import { builtInRoles } from "./built-in-definitions.ts";
import { type Definition, definitionNames, listOf, type Place, readDefinition } from "./definition-files.ts";

/** Who does the work. Without a file a handle is a label: `source` is null, and nothing is known of it. */
export interface Agent {
  handle: string;
  id: string | null;
  displayName: string | null;
  role: string | null;
  capabilityKeys: string[];
  launcherConfigKey: string | null;
  /** what the agent is told of itself, before anything else */
  instructions: string;
  source: string | null;
}
/** `text` is null: nobody defines it. */
export interface Capability {
  key: string;
  text: string | null;
  source: string;
}

/** Where definitions are looked for: what the operator wrote comes before what the repository brings. */
export function definitionPlaces(home: string, repositoryPath: string): Place[] {
  return [
    { label: "home", directory: home, within: home },
    { label: "repository", directory: join(repositoryPath, ".baton"), within: repositoryPath },
  ];
}

/** The agent that a launch names. Errors: NOT_FOUND for an unknown `agentId`, INVALID_ARGUMENT when id and handle are two agents. */
export async function findAgent(
  places: Place[],
  asked: { agentId?: string; agentHandle?: string; fallback: string },
): Promise<{ agent: Agent; problems: string[] }> {
  const handle = asked.agentHandle?.replace(/^@/, "");
  const problems: string[] = [];
  if (asked.agentId !== undefined) {
    const agent = await byId(places, asked.agentId.replace(/^@/, ""), problems);
    if (handle !== undefined && handle !== agent.handle)
      throw new BatonError("INVALID_ARGUMENT", `Agent "${asked.agentId}" is called "${agent.handle}", not "${handle}": leave agentHandle out.`, {
        field: "agentHandle",
        allowed: [agent.handle],
      });
    return { agent, problems };
  }
  const name = handle ?? asked.fallback;
  return { agent: (await byHandle(places, name, problems)) ?? label(name), problems };
}

/** The text behind each key, once each; a key that nobody defines is kept with null. */
export async function findCapabilities(places: Place[], keys: string[]): Promise<{ capabilities: Capability[]; problems: string[] }> {
  const problems: string[] = [];
  const capabilities: Capability[] = [];
  for (const key of new Set(keys)) {
    const found = await firstOf(places, "capabilities", key, problems);
    const own = builtInRoles[builtInName(key)];
    if (found) capabilities.push({ key, text: found.body, source: found.source });
    else capabilities.push({ key, text: own?.capability ?? null, source: own ? "built-in" : "none" });
  }
  return { capabilities, problems };
}

async function byId(places: Place[], id: string, problems: string[]): Promise<Agent> {
  const known: string[] = [];
  for (const place of places) {
    for (const name of await definitionNames(place, "agents")) {
      const found = await readDefinition(place, "agents", name);
      if (found === null || typeof found === "string") continue;
      const agent = agentOf(found);
      if (agent.id === id || agent.handle === id) return agent;
      known.push(agent.id ?? agent.handle);
    }
  }
  const own = await byHandle([], id, problems);
  if (own) return own;
  const names = [...known, ...Object.keys(builtInRoles)];
  const close = nearest(id, names);
  throw new BatonError("NOT_FOUND", `There is no agent with the id "${id}".${close ? ` Did you mean "${close}"?` : ""} Agents: ${names.join(", ")}.`, {
    field: "agentId",
    allowed: names,
  });
}

async function byHandle(places: Place[], handle: string, problems: string[]): Promise<Agent | null> {
  const found = await firstOf(places, "agents", handle, problems);
  if (found) return agentOf(found);
  const name = builtInName(handle);
  const own = builtInRoles[name];
  return own
    ? {
        handle,
        id: name,
        displayName: own.displayName,
        role: own.role,
        capabilityKeys: [name],
        launcherConfigKey: null,
        instructions: "",
        source: "built-in",
      }
    : null;
}

async function firstOf(places: Place[], kind: "agents" | "capabilities", name: string, problems: string[]): Promise<Definition | null> {
  for (const place of places) {
    const found = await readDefinition(place, kind, name);
    if (typeof found === "string") problems.push(found);
    else if (found) return found;
  }
  return null;
}

function agentOf({ name, fields, body, source }: Definition): Agent {
  const text = (field: string): string | null => listOf(fields[field])[0] ?? null;
  return {
    handle: name,
    id: text("id"),
    displayName: text("displayName"),
    role: text("role"),
    capabilityKeys: listOf(fields["capabilityKeys"]).slice(0, 20),
    launcherConfigKey: text("launcherConfigKey"),
    instructions: body,
    source,
  };
}

function label(handle: string): Agent {
  return { handle, id: null, displayName: null, role: null, capabilityKeys: [], launcherConfigKey: null, instructions: "", source: null };
}

/** `valdr-executor` is `executor`: orchestrators that know the built-in ones by that name go on unchanged. */
function builtInName(name: string): string {
  const own = name.replace(/^valdr-/, "");
  return Object.hasOwn(builtInRoles, own) ? own : name;
}
