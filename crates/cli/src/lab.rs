//! `mainstay lab`: the misbehaving upstream by itself.

use std::process::ExitCode;

use mainstay_lab::{Lab, serve_file};

use crate::args;
use crate::exit::{Failure, text};

pub(crate) fn run(args: &args::Lab) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(text)?;
    runtime.block_on(serve_file(&args.file, introduce)).map_err(text)?;
    Ok(ExitCode::SUCCESS)
}

fn introduce(lab: &Lab) {
    for server in lab.servers() {
        eprintln!("{}: {}", server.name(), server.url());
    }
    if let Some(control) = lab.control_addr() {
        eprintln!(
            "control: http://{control} (GET /oracle, /servers, /faults; POST /servers/NAME/fault, /reset)"
        );
    }
}
