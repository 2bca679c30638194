/** Workflow id of a session's later generation; `base` is any generation's id. */
export function generationId(base: string, generation: number): string {
  const first = base.replace(/~\d+$/, "");
  return generation > 1 ? `${first}~${generation}` : first;
}
