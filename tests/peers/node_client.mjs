// Reads and writes in turn, by a few workers over kept connections, for some seconds. Says as JSON what came of them.
// Node's own http module repeats nothing by itself.

import http from "node:http";

const WORKERS = 8;
const [address, seconds, pause] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const [host, port] = address.split(":");
const agent = new http.Agent({ keepAlive: true });
const seen = { reads: 0, failed_reads: [], writes: {}, failed_writes: [] };
const until = Date.now() + seconds * 1000;

function ask(method, path, id, body) {
  return new Promise((resolve, reject) => {
    const headers = { "x-request-id": id };
    const request = http.request({ host, port, method, path, agent, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece) => (text += piece));
      answer.on("end", () => resolve([answer.statusCode, text]));
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function worker(number) {
  for (let turn = 1; Date.now() < until; turn++) {
    const id = `w${number}-${turn}`;
    const isRead = turn % 2 === 1;
    const failed = isRead ? seen.failed_reads : seen.failed_writes;
    try {
      const [status, text] = isRead
        ? await ask("GET", "/read", id)
        : await ask("POST", "/write", id, "x".repeat(32));
      if (isRead) seen.reads++;
      else seen.writes[id] = status;
      if (status !== 200) failed.push(`${id}: ${status} ${text}`);
    } catch (error) {
      failed.push(`${id}: ${error}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pause * (0.8 + 0.4 * Math.random())));
  }
}

await Promise.all(Array.from({ length: WORKERS }, (_, number) => worker(number)));
agent.destroy();
console.log(JSON.stringify(seen));
