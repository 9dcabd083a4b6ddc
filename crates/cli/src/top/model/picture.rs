//! How things are: the last state that was told, kept up to date by what changed.
//!
//! Each key replaces the old one as a whole, at three levels (top, upstream, endpoint); upstreams and endpoints are found by name, and
//! come and go only with a full state. So what came is kept as it came, and read anew where something changed.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::top::told::{Endpoint, Top, Upstream};

/// A part: what came, and what it says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part<T> {
    came: Map<String, Value>,
    pub(crate) says: T,
}

/// An upstream with its endpoints.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpstreamPart {
    pub(crate) own: Part<Upstream>,
    pub(crate) endpoints: Vec<Part<Endpoint>>,
    /// Places of the endpoints by name.
    places: HashMap<String, usize>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) top: Part<Top>,
    pub(crate) upstreams: Vec<UpstreamPart>,
}

impl<T: DeserializeOwned> Part<T> {
    fn merge(&mut self, news: Map<String, Value>) -> serde_json::Result<()> {
        self.came.extend(news);
        self.says = T::deserialize(&self.came)?;
        Ok(())
    }
}

impl UpstreamPart {
    fn merge(&mut self, mut news: Map<String, Value>, is_full: bool) -> serde_json::Result<()> {
        let endpoints = objects(news.remove("endpoints"));
        self.own.merge(news)?;
        for endpoint in endpoints {
            let name = name(&endpoint);
            match self.places.get(&name) {
                Some(place) => self.endpoints[*place].merge(endpoint)?,
                None if is_full => {
                    let mut part = Part::default();
                    part.merge(endpoint)?;
                    self.places.insert(name, self.endpoints.len());
                    self.endpoints.push(part);
                }
                // It was told of before there was a full state: the next one has it.
                None => {}
            }
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.own.says.name
    }

    pub(crate) fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.places.get(name).map(|place| &self.endpoints[*place].says)
    }
}

impl Picture {
    /// Takes in a `state`.
    ///
    /// # Errors
    ///
    /// It isn't what a state is.
    pub(crate) fn merge(&mut self, mut news: Map<String, Value>) -> serde_json::Result<()> {
        let is_full = news.remove("full") == Some(Value::Bool(true));
        if is_full {
            *self = Self::default();
        }
        let upstreams = objects(news.remove("upstreams"));
        self.top.merge(news)?;
        for upstream in upstreams {
            let name = name(&upstream);
            match self.upstreams.iter_mut().find(|one| one.name() == name) {
                Some(one) => one.merge(upstream, is_full)?,
                None if is_full => {
                    let mut one = UpstreamPart::default();
                    one.merge(upstream, is_full)?;
                    self.upstreams.push(one);
                }
                None => {}
            }
        }
        Ok(())
    }

    pub(crate) fn upstream(&self, name: &str) -> Option<&UpstreamPart> {
        self.upstreams.iter().find(|one| one.name() == name)
    }

    pub(crate) fn endpoint(&self, upstream: &str, endpoint: &str) -> Option<&Endpoint> {
        self.upstream(upstream)?.endpoint(endpoint)
    }

    pub(crate) fn endpoints(&self) -> usize {
        self.upstreams.iter().map(|one| one.endpoints.len()).sum()
    }
}

fn objects(value: Option<Value>) -> Vec<Map<String, Value>> {
    let Some(Value::Array(list)) = value else { return Vec::new() };
    let object = |value| match value {
        Value::Object(map) => Some(map),
        _ => None,
    };
    list.into_iter().filter_map(object).collect()
}

fn name(object: &Map<String, Value>) -> String {
    object.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn what_isnt_told_is_unchanged_and_what_is_replaces_as_a_whole() {
        let mut picture = Picture::default();
        let full = r#"{"full":true,"now_unix_ms":1,"generation":2,"upstreams":[{"name":"api","state":"up",
            "minute":{"calls":9,"failed":3},"endpoints":[{"name":"a","state":"up","minute":{"attempts":5,"broke":2}},
            {"name":"b","state":"up","ejected":{"cause":"success-rate"}}]}]}"#;
        picture.merge(map(full)).expect("a state");
        let some = r#"{"now_unix_ms":2,"upstreams":[{"name":"api","minute":{"calls":10},"endpoints":[
            {"name":"a","minute":{"attempts":6}},{"name":"b","ejected":null},{"name":"new","state":"up"}]},
            {"name":"other","state":"up"}]}"#;
        picture.merge(map(some)).expect("a state");
        assert_eq!((picture.top.says.now_unix_ms, picture.top.says.generation), (2, 2));
        assert_eq!((picture.upstreams.len(), picture.endpoints()), (1, 2));
        let api = &picture.upstreams[0].own.says;
        assert_eq!((api.state.as_str(), api.minute.calls, api.minute.failed), ("up", 10, 0));
        let a = picture.endpoint("api", "a").expect("a");
        assert_eq!((a.state.as_str(), a.minute.attempts, a.minute.broke), ("up", 6, 0));
        assert_eq!(picture.endpoint("api", "b").expect("b").ejected, None);
    }

    #[test]
    fn a_full_state_replaces_everything() {
        let mut picture = Picture::default();
        picture
            .merge(map(r#"{"full":true,"upstreams":[{"name":"a"},{"name":"b"}]}"#))
            .expect("one");
        picture.merge(map(r#"{"full":true,"upstreams":[{"name":"c"}]}"#)).expect("another");
        let names: Vec<_> = picture.upstreams.iter().map(UpstreamPart::name).collect();
        assert_eq!(names, ["c"]);
        assert!(picture.merge(map(r#"{"now_unix_ms":"soon"}"#)).is_err());
    }
}
