// Calls methods of Dify's client for Node, one after the other, and prints the bodies they answer
// with as a JSON array. A stream is read to its end and its text is its body.
//
//     node dify.mjs FOLDER_WITH_CLIENT BASE_URL KEY '[["getConversations", "abc-123"], …]'
const [folder, baseUrl, key, calls] = process.argv.slice(2);
const { ChatClient } = await import(`${folder}/node_modules/dify-client/index.js`);
const client = new ChatClient(key, baseUrl);
const bodies = [];
for (const [method, ...args] of JSON.parse(calls)) {
  const { data } = await client[method](...args);
  if (data && typeof data[Symbol.asyncIterator] === "function") {
    let text = "";
    data.setEncoding("utf8");
    for await (const piece of data) text += piece;
    bodies.push(text);
  } else {
    bodies.push(data);
  }
}
console.log(JSON.stringify(bodies));
