//! A command that is printed, then run.

use std::process::Command;
use std::time::Instant;

/// One command of a list.
pub(crate) struct Step {
    program: &'static str,
    words: Vec<String>,
    env: Vec<(&'static str, String)>,
}

impl Step {
    /// A cargo command; words are split at spaces.
    pub(crate) fn cargo(line: &str) -> Self {
        Self::new("cargo", line)
    }

    /// A command of any program.
    pub(crate) fn new(program: &'static str, line: &str) -> Self {
        Self { program, words: line.split(' ').map(str::to_owned).collect(), env: Vec::new() }
    }

    /// Adds a variable to its environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    fn title(&self) -> String {
        let env: String =
            self.env.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
        format!("{env}{} {}", self.program, self.words.join(" "))
    }
}

/// Runs the steps one after the other; the first that fails ends it.
pub(crate) fn run(steps: &[Step]) -> Result<(), String> {
    for step in steps {
        eprintln!("\n=== {}", step.title());
        let begun = Instant::now();
        let status = Command::new(step.program)
            .args(&step.words)
            .envs(step.env.iter().map(|(name, value)| (name, value)))
            .status()
            .map_err(|error| format!("{}: {error}", step.program))?;
        eprintln!("=== {:.0} s", begun.elapsed().as_secs_f64());
        if !status.success() {
            return Err(format!("failed: {}", step.title()));
        }
    }
    Ok(())
}

/// The command line that repeats a run, for documents: without the places on this machine where a binary was taken from and
/// logs were put, which change nothing of the result.
pub(crate) fn typed(command: &str, words: &[&str]) -> String {
    let mut typed = format!("cargo xtask {command}");
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if matches!(*word, "--binary" | "--logs") {
            rest.next();
        } else {
            typed = typed + " " + word;
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_for_documents_names_no_place_on_this_machine() {
        let words =
            ["--only", "down-*", "--binary", "/here/it/is", "--repeat", "3", "--logs", "/x"];
        assert_eq!(typed("breaks", &words), "cargo xtask breaks --only down-* --repeat 3");
        assert_eq!(typed("breaks", &[]), "cargo xtask breaks");
    }
}
