//! What can be typed.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};

/// Makes broken API connections stop mattering.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the local egress proxy
    Run(Run),
    /// Break things on a timeline and watch them not matter
    Demo(Demo),
    /// Validate and lint a config
    Check(Check),
    /// Run the misbehaving upstream by itself
    Lab(Lab),
    /// Walk to an endpoint, step by step, and say where it breaks and why
    Diagnose(Diagnose),
    /// Try a policy in a simulated world, in virtual time
    Simulate(Simulate),
    /// Show what happened to a call: its attempts, what broke, what was decided and why
    Explain(Explain),
    /// Show where a request would go, under which settings, and what would happen if it broke
    Which(Which),
    /// See what is broken now, since when, why, and what is done about it; live, and by keyboard
    Top(Top),
    /// List what broke for longer: since when, why, what it cost, what ended it
    Incidents(Incidents),
    /// Say how a running proxy logs, or have it log another way from now on
    Log(Log),
    /// Look at stored writes, and take a hand in them; beside a running proxy or without one
    Outbox(Outbox),
    /// Print what a shell needs to complete commands and options
    Completions(Completions),
    /// Print the manual page, or write all of them into a folder
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Whose
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command there; it is made if it isn't there
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).args(["config", "to"]))]
pub(crate) struct Run {
    /// The config; without it, --to says where calls go
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "admin", "profile"])]
    pub(crate) config: Option<PathBuf>,
    /// An endpoint of the one upstream; give it several times for failover
    #[arg(long, value_name = "URL")]
    pub(crate) to: Vec<String>,
    /// Where applications connect [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// The admin address, or `off` [default: 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<String>,
    /// read-api, payments, llm-stream, webhook-out or download
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Keep the number of the process that takes connections in there
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How long it lasts
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub(crate) seconds: u64,
    /// Write the results there as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Go on until ctrl-c when all is over, so that the dashboard can be looked at
    #[arg(long)]
    pub(crate) keep_open: bool,
    /// Where the dashboard is [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", hide_default_value = true)]
    pub(crate) admin: String,
    /// Calls a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=2000))]
    pub(crate) rate: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The config
    #[arg(value_name = "FILE", required_unless_present_any = ["schema", "profile"])]
    pub(crate) file: Option<PathBuf>,
    /// Print the effective settings
    #[arg(long)]
    pub(crate) print: bool,
    /// Print the JSON Schema of the config
    #[arg(long)]
    pub(crate) schema: bool,
    /// Print a profile
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Fail on lints too
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Lab {
    /// The lab file: servers and a timeline
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Exit codes: 0 nothing broke; 10 the name gave no address; 11 no address took a connection; 12 TLS failed; 13 no good
/// head of an answer came; 14 the body broke; 1 it couldn't be tried; 2 what was given is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing broke, 10 resolve, 11 connect, 12 TLS, 13 HTTP, 14 body; 1 it couldn't be tried, 2 wrong use."
)]
pub(crate) struct Diagnose {
    /// What to ask, http or https
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Use the settings, and all endpoints, of the upstream to which this config sends the URL
    #[arg(long, value_name = "CONFIG")]
    pub(crate) via: Option<PathBuf>,
    /// One JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Walk so often, and tell least, median and greatest times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    /// The method; no body is sent
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// A header field, `name: value`; several times for several
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub(crate) headers: Vec<String>,
    /// Leave the connection alone for up to so many seconds and see when the peer closes it
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "120", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) idle_probe: Option<u64>,
    /// How long the head, and each piece of the body, may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

/// Exit codes: 0 done, 1 an assertion doesn't hold, 2 what was given is wrong.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["file", "world", "list"]))]
pub(crate) struct Simulate {
    /// The world: endpoints, load, network and faults
    #[arg(value_name = "WORLD.toml")]
    pub(crate) file: Option<PathBuf>,
    /// A world that comes along; --list names them
    #[arg(long, value_name = "NAME")]
    pub(crate) world: Option<String>,
    /// List the worlds that come along
    #[arg(long)]
    pub(crate) list: bool,
    /// The policy: your config; without it, the defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Another policy, beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// Which upstream of the configs [default: the first]
    #[arg(long, value_name = "NAME")]
    pub(crate) upstream: Option<String>,
    /// Write a report with time series, to be looked at in a browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// What must hold, such as `success>=99.9` or `p99<250ms`; several times for several
    #[arg(long, value_name = "WHAT")]
    pub(crate) assert: Vec<String>,
    /// Another seed than the world's
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Search attempt timeout, budget, breaker threshold and hedge delay for the best the world allows
    #[arg(long, conflicts_with_all = ["compare", "html", "json", "assert", "list"])]
    pub(crate) tune: bool,
    /// Print the world's text
    #[arg(long, conflicts_with = "list")]
    pub(crate) print: bool,
}

/// How to reach a running proxy's admin address.
#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// The admin address of the running proxy
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9900")]
    pub(crate) admin: String,
    /// The admin address's token, if it has one
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// An environment variable that holds the token
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["token", "token_file"])]
    pub(crate) token_env: Option<String>,
}

/// In a terminal it shows views that follow what happens; `?` lists the keys. Elsewhere it prints lines: one for each
/// incident and change of state, and one for each upstream every ten seconds.
#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// Print how things are now, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Print what the admin address tells as JSON: one object a line; with --once, one document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Incidents {
    /// One of them, as the list names it; without it, all that are kept, the newest first
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// Only those that haven't ended
    #[arg(long, conflicts_with = "id")]
    pub(crate) open: bool,
    /// Only those of this upstream
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    pub(crate) upstream: Option<String>,
    /// The newest so many
    #[arg(long, value_name = "N", conflicts_with = "id", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: Option<u16>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Without an option that changes something it says how it is. What is changed stays so until it is changed again, a reload
/// brings another setting for it, or the proxy ends.
#[derive(Debug, Args)]
pub(crate) struct Log {
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// Which calls get a line: broken or every
    #[arg(long, value_name = "WHICH")]
    pub(crate) calls: Option<String>,
    /// How lines look: text or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Write no lines below this: info, warn or error
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<String>,
    /// Which messages go to standard error: targets with levels, such as mainstay=info,mainstay_proxy=debug
    #[arg(long, value_name = "TARGETS")]
    pub(crate) messages: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The call's id, as in `mainstay-call-id`, the log and problem documents; without it, the last broken calls
    #[arg(value_name = "CALL_ID")]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// Read records from this file and its rotated ones, instead of asking a running proxy
    #[arg(long, value_name = "FILE", conflicts_with_all = ["admin", "token", "token_file", "token_env"])]
    pub(crate) file: Option<PathBuf>,
    /// Print the record as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Columns to draw in [default: the terminal's, else 100]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(60..=400))]
    pub(crate) width: Option<u16>,
    /// How many calls to list [default: 20]
    #[arg(long, value_name = "COUNT", conflicts_with = "id")]
    pub(crate) limit: Option<String>,
    /// List only calls that ended so: delivered, saved, as_is, cut or failed
    #[arg(long, value_name = "OUTCOME", conflicts_with = "id")]
    pub(crate) outcome: Option<String>,
    /// List only calls to this upstream
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    pub(crate) upstream: Option<String>,
    /// List only calls in which this broke: a break code, such as reset-before-head
    #[arg(long, value_name = "CODE", conflicts_with = "id")]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("by").required(true).args(["config", "to"]),
    after_help = "Exit codes: 0 an upstream would be asked, 1 none would, 2 what was given is wrong."
)]
pub(crate) struct Which {
    /// The method of the request
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// The URL as the application asks for it at the proxy, or its path
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The config
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub(crate) config: Option<PathBuf>,
    /// An endpoint of the one upstream, as for `run`; several times for failover
    #[arg(long, value_name = "URL")]
    pub(crate) to: Vec<String>,
    /// A profile, as for `run --to`
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// A header field of the request, `name: value`; several times for several
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub(crate) headers: Vec<String>,
    /// One JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Columns to draw in [default: the terminal's, else 100]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(60..=400))]
    pub(crate) width: Option<u16>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("of").required(true).args(["config", "store"]))]
pub(crate) struct Outbox {
    /// The config, which says where the store is and by which keys it is sealed
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The store's file
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) store: Option<PathBuf>,
    /// A file with a key of the store; several times for several
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) key: Vec<PathBuf>,
    #[command(subcommand)]
    pub(crate) what: OutboxWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxWhat {
    /// List stored writes, oldest first
    List {
        #[command(flatten)]
        those: Those,
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Those behind this place, as the last column of a list tells it
        #[arg(long, value_name = "PLACE")]
        after: Option<i64>,
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show one with its calls, its request and its answer
    Show {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        /// One JSON document instead of text
        #[arg(long)]
        json: bool,
        /// Show credentials as they are
        #[arg(long)]
        with_secrets: bool,
    },
    /// Try dead and stopped ones again
    Retry {
        #[command(flatten)]
        those: Those,
        /// So many a second, instead of all at once
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: Option<u32>,
    },
    /// Give waiting and stopped ones up, and forget dead ones
    Drop {
        #[command(flatten)]
        those: Those,
    },
    /// Take stopped ones as done: somebody has seen that they arrived
    Settle {
        #[command(flatten)]
        those: Those,
    },
    /// Print all that is known of them, one JSON object a line
    Export {
        #[command(flatten)]
        those: Those,
        /// Show credentials as they are
        #[arg(long)]
        with_secrets: bool,
    },
    /// Count them
    Stats {
        /// One JSON document instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Print the SQL that makes the table in which applications put writes (outbox.intake)
    Init {
        /// Print it; nothing is done
        #[arg(long, required = true)]
        print_sql: bool,
    },
    /// Look whether everything is what was written; exit code 1 if something isn't
    Check,
    /// Copy the store to a new file
    Backup {
        /// The new file
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
}

/// Which of them.
#[derive(Debug, Args)]
pub(crate) struct Those {
    /// Their ids
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Those in this state: waiting, stopped, delivered or dead; several times for several
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Vec<String>,
    /// Those that are stopped or dead for this reason
    #[arg(long, value_name = "CODE")]
    pub(crate) reason: Option<String>,
    /// Those to this upstream
    #[arg(long, value_name = "NAME")]
    pub(crate) upstream: Option<String>,
    /// Those of this lane
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: Option<String>,
    /// All of them, where nothing else is said
    #[arg(long)]
    pub(crate) all: bool,
}
