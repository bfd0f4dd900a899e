// What to say to the scripted model, and what the clients are told: where Parley is, and a key.
export const BASE_URL = process.env.PARLEY_BASE_URL;
export const KEY = process.env.PARLEY_API_KEY;
export const MODEL = "any";

// A message to which the scripted model replies by doing these steps.
export const script = (...steps) => "script:" + JSON.stringify(steps);

// A message to which it replies by asking for the weather at each of these places, at once.
export const callsWeather = (...places) =>
  script(...places.map((place) => ({ call: "weather", arguments: { place } })));

// A message to which it replies with all that reached it, as JSON.
export const ECHO = script({ echo: "request" });

export const HELLO = script({ text: "ሰላም " }, { text: "👋" });

export const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ" +
  "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

// All that a stream yields, in order.
export async function collected(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}
