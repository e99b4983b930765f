// The numbers of the payload, which stand in base64.

const TYPES = {
  float32: Float32Array,
  int16: Int16Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
};

/** The bytes of a base64 text. */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** A typed array from base64 text; `type` as in payload.py. */
export function arrayOf(base64, type) {
  return new TYPES[type](bytesOf(base64).buffer);
}
