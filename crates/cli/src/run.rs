//! `mainstay run`: the proxy, until a signal ends it.
//!
//! SIGHUP reloads the config, SIGTERM and ctrl-c drain, a second one ends at once.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use mainstay_config::Settings;
use mainstay_config::settings::Listener;
use mainstay_proxy::{Options, Proxy, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Run;
use crate::exit::{Failure, text};
use crate::messages;

pub(crate) fn run(args: &Run) -> Result<ExitCode, Failure> {
    let settings = settings(args)?;
    messages::to_stderr();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
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
    Ok(loaded.map_err(|errors| Failure::settings(&errors))?.settings)
}

async fn serve(settings: Settings, config: Option<&Path>) -> Result<ExitCode, Failure> {
    // Before anything listens, so that no signal is missed once it does.
    let mut signals = Signals::new()?;
    let patience = settings.drain_timeout;
    let schemes: Vec<_> = settings.listeners.iter().map(scheme).collect();
    let options = Options { config: config.map(Path::to_path_buf), ..Options::default() };
    let admin = settings.admin.as_ref().map(|admin| admin.address);
    let proxy = Proxy::start(settings, options).map_err(|error| not_started(error, admin))?;
    for (scheme, address) in schemes.iter().zip(proxy.addresses()) {
        eprintln!("mainstay {} listening on {scheme}://{address}", env!("CARGO_PKG_VERSION"));
    }
    if let Some(admin) = proxy.admin_address() {
        eprintln!("admin on http://{admin}");
    }
    while let Order::Reload = signals.next().await {
        reload(&proxy, config);
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

/// Why it doesn't start and, where a process is in the way, what to do about it.
fn not_started(error: StartError, admin: Option<SocketAddr>) -> Failure {
    let advice = match &error {
        StartError::Bind(bind) if bind.source.kind() == ErrorKind::AddrInUse => {
            let setting = if admin == Some(bind.address) { "admin" } else { "listen" };
            format!(
                "\n  = another process listens there: end it, or choose another address \
                 (--{setting}, or `{setting}` in the config)"
            )
        }
        _ => String::new(),
    };
    let failure = text(error);
    Failure { message: failure.message + &advice, ..failure }
}

fn scheme(listener: &Listener) -> &'static str {
    if listener.tls.is_some() { "https" } else { "http" }
}

fn reload(proxy: &Proxy, config: Option<&Path>) {
    let Some(file) = config else {
        tracing::error!("there is nothing to reload: it was started without --config");
        return;
    };
    // The proxy itself says how that went, whoever ordered it: a signal or the admin address.
    let _told = proxy.reload_from(file);
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
