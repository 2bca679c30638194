/** Baton's own, as in package.json. */
export const batonVersion = "0.1.0";
