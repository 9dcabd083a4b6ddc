//! The header fields that a collector asks for: keys and tokens, from a file or from the environment, never from the config.

use std::env::VarError;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_config::settings::Collector;

use super::ExportError;

/// The fields by these settings. Their values are marked, so that they are never printed.
///
/// # Errors
///
/// They can't be read, or are none.
pub(super) fn read(settings: &Collector, section: &str) -> Result<HeaderMap, ExportError> {
    let mut fields = HeaderMap::new();
    if let Some(file) = &settings.headers_file {
        let all = from_file(file).and_then(|text| of_lines(&text));
        fields.extend(
            all.map_err(|why| ExportError::Headers(format!("{section}.headers_file"), why))?,
        );
    }
    if let Some(variable) = &settings.headers_env {
        // The error itself would show what isn't UTF-8.
        let text = std::env::var(variable).map_err(|error| match error {
            VarError::NotPresent => format!("{variable} isn't set"),
            VarError::NotUnicode(_) => format!("{variable} isn't UTF-8"),
        });
        let all = text.and_then(|text| of_list(&text));
        fields.extend(
            all.map_err(|why| ExportError::Headers(format!("{section}.headers_env"), why))?,
        );
    }
    Ok(fields)
}

fn from_file(file: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{}: {error}", file.display());
    let found = std::fs::metadata(file).map_err(told)?;
    if !found.is_file() || found.len() > LARGEST {
        return Err(format!("{} isn't a file of at most 64 KiB", file.display()));
    }
    std::fs::read_to_string(file).map_err(told)
}

/// `Name: value`, one a line; empty lines and those that begin with `#` say nothing.
fn of_lines(text: &str) -> Result<HeaderMap, String> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut fields = HeaderMap::new();
    for (number, line) in said {
        let pair = line.split_once(':').and_then(|(name, value)| field(name, value.trim()));
        let (name, value) =
            pair.ok_or_else(|| format!("line {number} isn't a field, such as `Name: value`"))?;
        fields.append(name, value);
    }
    Ok(fields)
}

/// `name=value,name=value`, percent-encoded (W3C Baggage), as OpenTelemetry's own variable has it.
fn of_list(text: &str) -> Result<HeaderMap, String> {
    let mut fields = HeaderMap::new();
    let said = (1..).zip(text.split(',').map(str::trim)).filter(|(_, pair)| !pair.is_empty());
    for (number, pair) in said {
        let pair = pair.split_once('=');
        let pair = pair
            .and_then(|(name, value)| field(name, &crate::admin::percent_decoded(value.trim())));
        let (name, value) =
            pair.ok_or_else(|| format!("number {number} isn't a field, such as `name=value`"))?;
        fields.append(name, value);
    }
    Ok(fields)
}

fn field(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name.trim()).ok()?;
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// As much as a request's head.
const LARGEST: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_what_is_none_is_told_by_its_place_alone() {
        let fields = of_lines("# ours\nApi-Key: s3cret: x\n\nx-tenant:a\n").unwrap();
        assert_eq!(
            (&fields["api-key"], &fields["x-tenant"]),
            (&"s3cret: x".parse().unwrap(), &"a".parse().unwrap())
        );
        assert!(fields["api-key"].is_sensitive());
        let fields = of_list("api-key=s3cret%3D, x-tenant=a,").unwrap();
        assert_eq!(
            (&fields["api-key"], &fields["x-tenant"]),
            (&"s3cret=".parse().unwrap(), &"a".parse().unwrap())
        );
        assert_eq!(
            of_lines("a: b\ns3cret\n").unwrap_err(),
            "line 2 isn't a field, such as `Name: value`"
        );
        assert_eq!(
            of_list("a=b,s3cret").unwrap_err(),
            "number 2 isn't a field, such as `name=value`"
        );
    }
}
