/** One protection switched off, in a copy of the checkout, to see that its test fails without it. */
export interface Mutation {
  /** what is switched off, in words */
  protection: string;
  /** path from the root of the checkout */
  file: string;
  /** exact text, occurs once in the file */
  find: string;
  replace: string;
  /** what must go with it, in the same file: a second guard that would hide that the first is gone */
  also?: { find: string; replace: string };
  /** path of the test file */
  test: string;
  /** part of the title of the test that must fail */
  title: string;
}
