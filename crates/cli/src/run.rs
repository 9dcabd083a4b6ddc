//! `mainstay run`: the proxy, until a signal ends it.
//!
//! SIGHUP reloads the config, SIGTERM and ctrl-c drain, a second one ends at once.

use std::path::Path;
use std::process::ExitCode;

use mainstay_config::Settings;
use mainstay_proxy::{Options, Proxy};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Run;
use crate::exit::{Failure, text};

pub(crate) fn run(args: &Run) -> Result<ExitCode, Failure> {
    let settings = settings(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(serve(settings, args.config.as_deref()))
}

fn settings(args: &Run) -> Result<Settings, Failure> {
    let loaded = match &args.config {
        Some(file) => mainstay_config::load(file),
        None => mainstay_config::quick(
            &args.to,
            args.listen.as_deref(),
            args.admin.as_deref(),
            args.profile.as_deref(),
        ),
    };
    Ok(loaded.map_err(Failure::usage)?.settings)
}

async fn serve(settings: Settings, config: Option<&Path>) -> Result<ExitCode, Failure> {
    // Before anything listens, so that no signal is missed once it does.
    let mut signals = Signals::new()?;
    let patience = settings.drain_timeout;
    let options = Options { config: config.map(Path::to_path_buf), ..Options::default() };
    let proxy = Proxy::start(settings, options).map_err(text)?;
    for address in proxy.addresses() {
        eprintln!("mainstay {} listening on http://{address}", env!("CARGO_PKG_VERSION"));
    }
    if let Some(admin) = proxy.admin_address() {
        eprintln!("admin on http://{admin}");
    }
    loop {
        match signals.next().await {
            Order::Reload => reload(&proxy, config),
            Order::Drain => break,
        }
    }
    eprintln!("draining for at most {} s; a second signal ends at once", patience.as_secs());
    let recorder = proxy.recorder().clone();
    tokio::select! {
        cut = proxy.drain(patience) => eprintln!("drained, {cut} calls cut"),
        () = signals.next_drain() => eprintln!("ended without draining"),
    }
    recorder.flush_log(std::time::Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

fn reload(proxy: &Proxy, config: Option<&Path>) {
    let Some(file) = config else {
        eprintln!("nothing to reload: started without a config");
        return;
    };
    match proxy.reload_from(file) {
        Ok(()) => eprintln!("reloaded {}", file.display()),
        Err(why) => eprintln!("not reloaded, the old settings stay:\n{why}"),
    }
}

/// What a signal asks for.
enum Order {
    Reload,
    Drain,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(text);
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            _ = self.terminate.recv() => Order::Drain,
            _ = self.interrupt.recv() => Order::Drain,
        }
    }

    async fn next_drain(&mut self) {
        while let Order::Reload = self.next().await {}
    }
}
