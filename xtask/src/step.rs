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
        Self {
            program: "cargo",
            words: line.split(' ').map(str::to_owned).collect(),
            env: Vec::new(),
        }
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
