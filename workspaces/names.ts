import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, normalize, relative, sep } from "node:path";
import { BatonError } from "../contracts/failures.ts";
import { branchPattern, revisionPattern, type WorkspacePlan } from "../contracts/workspaces.ts";

const ulidPattern = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const objectPattern = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

function refuse(field: string, message: string): never {
  throw new BatonError("INVALID_ARGUMENT", message, { field });
}
const shown = (value: string): string => JSON.stringify(value.slice(0, 120));

/** Error: INVALID_ARGUMENT unless `value` is a plain commit-ish. */
export function checkRevision(field: string, value: string): void {
  if (!revisionPattern.test(value)) refuse(field, `${field} ${shown(value)} is not a branch, tag or commit id.`);
}

/** Error: INVALID_ARGUMENT unless `value` is a full object id. */
export function checkObjectId(field: string, value: string): void {
  if (!objectPattern.test(value)) refuse(field, `${field} ${shown(value)} is not a full object id.`);
}

/** Error: INVALID_ARGUMENT unless `value` can be the last part of a ref of ours. */
export function checkRefPart(field: string, value: string): void {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$/.test(value)) refuse(field, `${field} ${shown(value)} may hold letters, digits, _ and - only.`);
}

/** Error: INVALID_ARGUMENT unless `value` stays inside the tree. */
export function checkTreePath(field: string, value: string): void {
  const parts = value.split("/");
  if (value === "" || value.includes("\0") || isAbsolute(value) || parts.includes("..") || parts[0] === ".git")
    refuse(field, `${field} ${shown(value)} must be a path inside the repository.`);
}

/** Error: INVALID_ARGUMENT unless `value` is an absolute path without tricks. */
export function checkAbsolute(field: string, value: string): void {
  if (!isAbsolute(value) || value.includes("\0") || normalize(value) !== value || (value.length > 1 && value.endsWith(sep)))
    refuse(field, `${field} ${shown(value)} must be an absolute path without "." , ".." or a "/" at its end.`);
}

/** The session works in the repository itself. */
export const inPlace = (plan: WorkspacePlan): boolean => plan.path === plan.repositoryPath;

/** Checks every name of a plan before git or the file system sees it. `home` is Baton's home. */
export async function checkPlan(home: string, plan: WorkspacePlan): Promise<void> {
  if (!ulidPattern.test(plan.sessionUlid)) refuse("sessionUlid", `sessionUlid ${shown(plan.sessionUlid)} is not a ULID.`);
  checkAbsolute("repositoryPath", plan.repositoryPath);
  checkAbsolute("path", plan.path);
  if (plan.template !== undefined) checkObjectId("template", plan.template);
  if (plan.start !== undefined) checkObjectId("start", plan.start);
  if (inPlace(plan)) return checkInPlace(plan);
  if (basename(plan.path) !== plan.sessionUlid) refuse("path", `The worktree's directory ${shown(plan.path)} must be named ${plan.sessionUlid}.`);
  if (plan.branch !== null && !branchPattern.test(plan.branch)) refuse("branch", `branch ${shown(plan.branch)} is not a branch name that Baton makes.`);
  checkRevision("baseRef", plan.baseRef);
  // A link planted in Baton's home must not lead a worktree, or its removal, elsewhere. What does not exist yet cannot be a link.
  const below = relative(await realpath(home), await realOfExisting(dirname(plan.path)));
  if (below.startsWith("..") || isAbsolute(below)) refuse("path", `The worktree's directory ${shown(plan.path)} must be below Baton's home.`);
}

/** Error: INVALID_ARGUMENT for what would have to be made in a repository that is not ours. */
function checkInPlace(plan: WorkspacePlan): void {
  if (plan.branch !== null || plan.template !== undefined)
    refuse("path", `A session that works in ${plan.repositoryPath} itself has no branch and no template of its own.`);
}

async function realOfExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || dirname(path) === path) throw error;
    return `${await realOfExisting(dirname(path))}${sep}${basename(path)}`;
  }
}
