"""Asks for one streamed chat completion by the openai package and says as JSON what the application got of it."""

import json
import sys

import httpx
import openai

client = openai.OpenAI(
    base_url=sys.argv[1],
    api_key="none",
    # What it repeats by itself would hide what is looked for.
    max_retries=0,
    http_client=httpx.Client(trust_env=False, timeout=30),
)
seen = {"text": "", "finish": None, "error": None, "code": None}
try:
    stream = client.chat.completions.create(
        model="lab-1", stream=True, messages=[{"role": "user", "content": "count"}]
    )
    for chunk in stream:
        seen["text"] += chunk.choices[0].delta.content or ""
        seen["finish"] = chunk.choices[0].finish_reason
except openai.OpenAIError as error:
    seen["error"] = type(error).__name__
    seen["code"] = getattr(error, "code", None)
print(json.dumps(seen))
