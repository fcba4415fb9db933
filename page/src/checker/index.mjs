export { check, reason } from "./check.mjs";
export { read, requireClaim } from "./certificate.mjs";
export { float, fromJson, sha256, toJson } from "./documents.mjs";
export { above, below, down, isSingle, sigmoid, tanh, up } from "./reals.mjs";
