//! `mainstay check`: whether a config is right, and whether it is wise.

use std::process::ExitCode;

use crate::args::Check;
use crate::exit::{Failure, text};

pub(crate) fn run(args: &Check) -> Result<ExitCode, Failure> {
    if args.schema {
        println!("{}", serde_json::to_string_pretty(&mainstay_config::schema()).map_err(text)?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &args.profile {
        let unknown = || Failure::usage(format!("no profile `{name}`; there are {}", profiles()));
        print!("{}", mainstay_config::profile_text(name).ok_or_else(unknown)?);
        return Ok(ExitCode::SUCCESS);
    }
    let Some(file) = &args.file else { return Err(Failure::usage("give it the file to check")) };
    let loaded = mainstay_config::load(file).map_err(|errors| Failure::settings(&errors))?;
    if args.print {
        print!("{}", mainstay_config::print(&loaded.settings));
    }
    let lints = loaded.lint();
    for lint in &lints {
        eprintln!("{}\n", lint.to_string().trim_end());
    }
    eprintln!("{}: right, {}", file.display(), told(lints.len()));
    Ok(if args.strict && !lints.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn profiles() -> String {
    mainstay_config::Profile::ALL.map(mainstay_config::Profile::name).join(", ")
}

fn told(lints: usize) -> String {
    match lints {
        0 => "nothing to remark".into(),
        1 => "1 remark".into(),
        _ => format!("{lints} remarks"),
    }
}
