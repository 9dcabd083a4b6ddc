//! Answers of language models, streamed or whole, in the two forms that clients know.
//!
//! | request | answer |
//! |---|---|
//! | POST `/v1/chat/completions`, any `/llm/chat` | as OpenAI's: `data:` chunks up to `data: [DONE]`, without ids |
//! | POST `/v1/messages`, any `/llm/messages` | as Anthropic's: `event: message_start` up to `message_stop` |
//!
//! A POST is streamed if its JSON says `"stream": true`, a GET unless the query says `stream=false`. There are
//! `?tokens=N`, or the JSON's `max_tokens`, and `?every=TIME`. Token number i of the text is `ti`, with a space
//! before it unless it is the first, so that a text healed with a token too much or too few is noticed.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::events::stream;
use super::source::Script;
use super::{Reply, Request};
use crate::fault::parse_duration;

/// An answer before it is sent.
#[derive(Debug)]
pub(crate) struct Text {
    form: Form,
    number: u64,
    /// Seconds since 1970.
    created: u64,
    model: String,
    tokens: u64,
    prompt_tokens: u64,
    /// Whether a stream of chunks says at its end how many tokens there were.
    tells_usage: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Chat,
    Messages,
}

/// The answer, if this is a path of a language model.
pub(super) fn answer(request: &Request, number: u64) -> Option<Reply> {
    let form = match (&request.method, request.path.as_str()) {
        (&Method::POST, "/v1/chat/completions") | (_, "/llm/chat") => Form::Chat,
        (&Method::POST, "/v1/messages") | (_, "/llm/messages") => Form::Messages,
        _ => return None,
    };
    let asked = match read(request) {
        Ok(asked) => asked,
        Err(why) => {
            let error = json!({ "message": why, "type": "invalid_request_error" });
            let body = json!({ "type": "error", "error": error });
            return Some(Reply::json(StatusCode::BAD_REQUEST, &body));
        }
    };
    let tokens = request.query("tokens").and_then(|n| n.parse().ok());
    let most = || asked["max_completion_tokens"].as_u64().or(asked["max_tokens"].as_u64());
    let text = Text {
        form,
        number,
        created: SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()),
        model: asked["model"].as_str().unwrap_or("lab-1").to_owned(),
        tokens: tokens.or_else(most).unwrap_or(TOKENS).clamp(1, TOKENS_LIMIT),
        prompt_tokens: request.body.length.div_ceil(4),
        tells_usage: asked["stream_options"]["include_usage"] == true,
    };
    if !asked["stream"].as_bool().unwrap_or(false) {
        return Some(Reply::json(StatusCode::OK, &text.whole()));
    }
    let every = request.query("every").and_then(parse_duration).unwrap_or(TOKENS_EVERY);
    let last = text.blocks();
    Some(stream(Script::Text(text), 1, last, every, Bytes::new()))
}

/// What the body asks for, or the query of a request without one.
fn read(request: &Request) -> Result<Value, &'static str> {
    if request.body.length == 0 {
        return Ok(json!({ "stream": request.query("stream") != Some("false") }));
    }
    serde_json::from_slice(&request.body.kept).map_err(|_| "the body isn't JSON, or too large")
}

impl Text {
    /// How many blocks it has as a stream.
    fn blocks(&self) -> u64 {
        self.tokens
            + match self.form {
                // The role; the end, the usage, [DONE].
                Form::Chat => 3 + u64::from(self.tells_usage),
                // The message, its block and a ping; their ends, and the reason.
                Form::Messages => 6,
            }
    }

    pub(super) fn block(&self, number: u64) -> String {
        match self.form {
            Form::Chat => self.chat_block(number),
            Form::Messages => self.messages_block(number),
        }
    }

    fn chat_block(&self, number: u64) -> String {
        let chunk = |delta: Value, reason: Option<&str>| {
            let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
            format!("data: {}\n\n", self.chunk(json!([choice])))
        };
        match number.checked_sub(self.tokens + 2) {
            None if number <= 1 => chunk(json!({ "role": "assistant", "content": "" }), None),
            None => chunk(json!({ "content": token(number - 1) }), None),
            Some(0) => chunk(json!({}), Some("stop")),
            Some(1) if self.tells_usage => {
                let mut last = self.chunk(json!([]));
                last["usage"] = self.usage();
                format!("data: {last}\n\n")
            }
            Some(_) => "data: [DONE]\n\n".to_owned(),
        }
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": format!("chatcmpl-{:024x}", self.number),
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }

    fn messages_block(&self, number: u64) -> String {
        let (kind, mut data) = match (number, number.checked_sub(self.tokens + 4)) {
            (..=1, _) => {
                let mut message = self.message(json!([]), None);
                message["usage"]["output_tokens"] = 1.into();
                ("message_start", json!({ "message": message }))
            }
            (2, _) => {
                let content = json!({ "type": "text", "text": "" });
                ("content_block_start", json!({ "index": 0, "content_block": content }))
            }
            (3, _) => ("ping", json!({})),
            (_, None) => {
                let delta = json!({ "type": "text_delta", "text": token(number - 3) });
                ("content_block_delta", json!({ "index": 0, "delta": delta }))
            }
            (_, Some(0)) => ("content_block_stop", json!({ "index": 0 })),
            (_, Some(1)) => {
                let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
                let usage = json!({ "output_tokens": self.tokens });
                ("message_delta", json!({ "delta": delta, "usage": usage }))
            }
            (_, Some(_)) => ("message_stop", json!({})),
        };
        data["type"] = kind.into();
        format!("event: {kind}\ndata: {data}\n\n")
    }

    fn whole(&self) -> Value {
        let text: String = (1..=self.tokens).map(token).collect();
        match self.form {
            Form::Chat => {
                let message = json!({ "role": "assistant", "content": text });
                let mut body = self.chunk(json!([
                    { "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" },
                ]));
                body["object"] = "chat.completion".into();
                body["usage"] = self.usage();
                body
            }
            Form::Messages => {
                self.message(json!([{ "type": "text", "text": text }]), Some("end_turn"))
            }
        }
    }

    fn message(&self, content: Value, reason: Option<&str>) -> Value {
        json!({
            "id": format!("msg_{:024x}", self.number),
            "type": "message",
            "role": "assistant",
            "content": content,
            "model": self.model,
            "stop_reason": reason,
            "stop_sequence": null,
            "usage": { "input_tokens": self.prompt_tokens, "output_tokens": self.tokens },
        })
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        })
    }
}

fn token(number: u64) -> String {
    if number == 1 { "t1".to_owned() } else { format!(" t{number}") }
}

/// Long enough to be broken in its middle.
const TOKENS: u64 = 16;

const TOKENS_LIMIT: u64 = 100_000;

/// As a fast model speaks.
const TOKENS_EVERY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: Form) -> Text {
        Text {
            form,
            number: 7,
            created: 1,
            model: "m".into(),
            tokens: 3,
            prompt_tokens: 5,
            tells_usage: true,
        }
    }

    /// The JSON of all blocks of a stream.
    fn blocks(text: &Text) -> Vec<Value> {
        let all = (1..=text.blocks()).map(|number| text.block(number));
        all.filter_map(|block| {
            let (_, data) = block.trim_end().split_once("data: ")?;
            (data != "[DONE]").then(|| serde_json::from_str(data).unwrap())
        })
        .collect()
    }

    #[test]
    fn the_chunks_of_a_chat_make_its_text() {
        let text = text(Form::Chat);
        let found = blocks(&text);
        let said: String =
            found.iter().filter_map(|b| b["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(said, "t1 t2 t3");
        assert_eq!(text.whole()["choices"][0]["message"]["content"], said);
        assert_eq!(found[4]["choices"][0]["finish_reason"], "stop");
        assert_eq!(found[5]["usage"]["total_tokens"], 8);
        assert_eq!(text.block(text.blocks()), "data: [DONE]\n\n");
    }

    #[test]
    fn the_events_of_a_message_come_in_order() {
        let text = text(Form::Messages);
        let found = blocks(&text);
        let kinds: Vec<_> = found.iter().filter_map(|block| block["type"].as_str()).collect();
        let (before, deltas) = (["message_start", "content_block_start", "ping"], 3);
        let after = ["content_block_stop", "message_delta", "message_stop"];
        let expected = [&before[..], &["content_block_delta"; 3][..deltas], &after[..]].concat();
        assert_eq!(kinds, expected);
        let said: String = found.iter().filter_map(|b| b["delta"]["text"].as_str()).collect();
        assert_eq!(text.whole()["content"][0]["text"], said);
    }
}
