import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { readConfig } from "../../contracts/config.schema.ts";
import { searchAttributes } from "../../contracts/messages.ts";

interface Service {
  image: string;
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: unknown;
}

const checkout = join(import.meta.dirname, "..", "..");
const file = parse(readFileSync(join(checkout, "docker-compose.temporal.yml"), "utf8"), { merge: true }) as {
  services: Record<string, Service>;
  volumes: object;
  secrets: object;
};
const service = (name: string): Service =>
  file.services[name] ??
  (() => {
    throw new Error(`no service ${name}`);
  })();

test("it has the whole stack", () => {
  expect(Object.keys(file.services).toSorted()).toEqual([
    "baton-engine",
    "baton-gateway",
    "baton-host",
    "baton-setup",
    "postgres",
    "temporal",
    "temporal-setup",
    "temporal-ui",
  ]);
  expect(service("postgres").image).toBe("postgres:18");
});

test("its search attributes are those of the contracts", () => {
  const script = service("temporal-setup").command?.join("\n") ?? "";
  expect(/for name in (.*); do/.exec(script)?.[1]?.split(" ")).toEqual([...searchAttributes]);
  expect(script).toContain("--type Keyword");
});

test("each command of ours names a file that exists", () => {
  const ours = Object.entries(file.services).filter(([name]) => name.startsWith("baton-"));
  const missing = ours.map(([, { command }]) => command?.[1] ?? "").filter((path) => !existsSync(join(checkout, path)));
  expect(missing).toEqual([]);
});

test("Baton's environment is one that our configuration accepts", () => {
  for (const name of ["baton-engine", "baton-host", "baton-gateway"]) {
    const plain = Object.fromEntries(
      Object.entries(service(name).environment ?? {}).map(([key, value]) => [key, value.replace(/\$\{\w+:[-?]([^}]*)\}/, "$1")]),
    );
    expect(readConfig(plain)).toMatchObject({ home: "/home/baton", hostId: "compose", port: 7717, temporalAddress: "temporal:7233" });
  }
});

test("whoever waits for a service waits for one that can become so", () => {
  for (const { depends_on: needs } of Object.values(file.services)) {
    for (const [name, { condition }] of Object.entries(needs ?? {})) {
      if (condition === "service_healthy") expect(service(name).healthcheck).toBeDefined();
      else expect(condition).toBe("service_completed_successfully");
    }
  }
});

test("everything published is on the loopback, and neither database nor Temporal is", () => {
  const published = Object.values(file.services).flatMap((one) => one.ports ?? []);
  expect(published.every((port) => port.startsWith("127.0.0.1:"))).toBe(true);
  expect([service("postgres").ports, service("temporal").ports]).toEqual([undefined, undefined]);
});
