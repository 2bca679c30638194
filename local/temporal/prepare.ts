import { findTemporal } from "./binary.ts";

/** Finds or builds the Temporal program ahead of its first use, and prints its path. */
process.stdout.write(`${await findTemporal(process.env, (line) => process.stderr.write(`${line}\n`))}\n`);
