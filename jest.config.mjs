// Two projects: folders whose tests need no server run without the global setup, the rest share one Postgres and one Temporal.
const serverless = ["contracts", "compose", "workspaces", "scripted-agent", "providers", "runner"];

const common = {
  rootDir: import.meta.dirname,
  testEnvironment: "node",
  extensionsToTreatAsEsm: [".ts"],
  transform: { "\\.ts$": ["@swc/jest", { jsc: { parser: { syntax: "typescript" }, target: "es2024" }, module: { type: "es6" } }] },
  modulePathIgnorePatterns: ["<rootDir>/build/", "<rootDir>/.baton/"],
};

export default {
  rootDir: import.meta.dirname,
  testTimeout: 60_000,
  maxWorkers: 2,
  reporters: ["default", "<rootDir>/test/support/count-reporter.mjs"],
  projects: [
    { ...common, displayName: "pure", testMatch: serverless.map((folder) => `<rootDir>/test/${folder}/**/*.test.ts`) },
    {
      ...common,
      displayName: "servers",
      testMatch: ["<rootDir>/test/**/*.test.ts"],
      testPathIgnorePatterns: ["/node_modules/", ...serverless.map((folder) => `<rootDir>/test/${folder}/`)],
      globalSetup: "<rootDir>/test/support/global-setup.ts",
      globalTeardown: "<rootDir>/test/support/global-teardown.ts",
    },
  ],
};
