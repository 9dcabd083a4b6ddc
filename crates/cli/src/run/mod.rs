//! `mainstay run`: the proxy, until a signal ends it.
//!
//! SIGHUP reloads the config, SIGTERM and ctrl-c drain, a second one ends at once. SIGUSR2 starts the binary anew and hands everything
//! over to it ([`upgrade`]).

mod told;
mod upgrade;

use std::io::{ErrorKind, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mainstay_config::Settings;
use mainstay_config::settings::Listener;
use mainstay_proxy::{Heritage, Messages, Options, Proxy, StartError};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Run;
use crate::exit::{Failure, text};
use crate::messages;

pub(crate) fn run(args: &Run) -> Result<ExitCode, Failure> {
    // Before anything else, so that the process before needn't wait for an answer to what can't be read.
    let (before, heritage) = upgrade::Predecessor::find()?.unzip();
    let settings = settings(args)?;
    let messages = messages::to_stderr();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        let pid_file = args.pid_file.as_deref().map(told::PidFile::prepare).transpose()?;
        let mut running = start(settings, args, messages, heritage.unwrap_or_default())?;
        // Nothing may fail from here on: connections are taken in.
        let _pid_file = pid_file.as_ref().map(told::PidFile::publish);
        running.say_where();
        // With its number, since the service manager may have started the process before; and before that one ends, which would be the
        // end of the service.
        told::manager(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
        if let Some(before) = before {
            before.tell_ready();
        }
        serve(&mut running, args.config.as_deref()).await
    })
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

/// A proxy that takes connections in, and ends by signals.
struct Running {
    proxy: Proxy,
    signals: Signals,
    /// Of the listeners, in the order of the settings.
    schemes: Vec<&'static str>,
    patience: Duration,
}

fn start(
    settings: Settings,
    args: &Run,
    messages: Option<Arc<dyn Messages>>,
    heritage: Heritage,
) -> Result<Running, Failure> {
    // Before anything listens, so that no signal is missed once it does.
    let signals = Signals::new()?;
    let patience = settings.drain_timeout;
    let schemes = settings.listeners.iter().map(scheme).collect();
    let options = Options { messages, config: args.config.clone(), ..Options::default() };
    let admin = settings.admin.as_ref().map(|admin| admin.address);
    let proxy = Proxy::succeed(settings, options, heritage);
    let proxy = proxy.map_err(|error| not_started(error, admin))?;
    Ok(Running { proxy, signals, schemes, patience })
}

impl Running {
    fn say_where(&self) {
        for (scheme, address) in self.schemes.iter().zip(self.proxy.addresses()) {
            say(&format!(
                "mainstay {} listening on {scheme}://{address}",
                env!("CARGO_PKG_VERSION")
            ));
        }
        if let Some(admin) = self.proxy.admin_address() {
            say(&format!("admin on http://{admin}"));
        }
    }
}

async fn serve(running: &mut Running, config: Option<&Path>) -> Result<ExitCode, Failure> {
    let Running { proxy, signals, patience, .. } = running;
    let is_succeeded = loop {
        match signals.next().await {
            Order::Reload => reload(proxy, config),
            Order::HandOver => match hand_over(proxy, signals).await {
                HandedOver::Succeeded => break true,
                HandedOver::Ended => break false,
                HandedOver::Failed => {}
            },
            Order::Drain => break false,
        }
    };
    if !is_succeeded {
        told::manager(&[NotifyState::Stopping]);
    }
    // Of an order that is meant for both, this process has done its part.
    signals.retired = is_succeeded;
    say(&format!("draining for at most {} s; a second signal ends at once", patience.as_secs()));
    let recorder = proxy.recorder().clone();
    let drained = async {
        if is_succeeded { proxy.retire(*patience).await } else { proxy.drain(*patience).await }
    };
    tokio::select! {
        cut = drained => say(&format!("drained, {cut} calls cut")),
        () = signals.next_drain() => say("ended without draining"),
    }
    recorder.flush_log(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

/// A line for whoever started it. That nobody reads it is no reason to end.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What came of an attempt to be succeeded.
enum HandedOver {
    /// Another process takes everything in.
    Succeeded,
    /// Nothing has changed.
    Failed,
    /// Somebody wanted the end meanwhile. Nothing has changed.
    Ended,
}

async fn hand_over(proxy: &Proxy, signals: &mut Signals) -> HandedOver {
    let started = proxy.heritage().map_err(text).and_then(|heritage| {
        let (ours, theirs) = upgrade::channel()?;
        Ok((heritage, ours.try_clone().map_err(text)?, ours, theirs))
    });
    let (heritage, end, ours, theirs) = match started {
        Ok(started) => started,
        Err(failure) => return not_succeeded(&failure),
    };
    let give = move || upgrade::hand_over(&heritage, &ours, theirs);
    let mut handing = tokio::task::spawn_blocking(give);
    let mut is_ended = false;
    let handed = tokio::select! {
        handed = &mut handing => handed,
        () = signals.next_drain() => {
            is_ended = true;
            // It waits for a word from there, and has none now: the successor goes. It may have been ready in the same moment.
            if let Err(error) = end.shutdown(Shutdown::Both) {
                tracing::debug!(%error, "the channel to the successor");
            }
            handing.await
        }
    };
    match handed.unwrap_or_else(|error| Err(text(error))) {
        Ok(successor) if is_ended => {
            upgrade::end(successor);
            HandedOver::Ended
        }
        Ok(successor) => {
            tracing::info!(successor, "another process has taken over");
            HandedOver::Succeeded
        }
        Err(_) if is_ended => HandedOver::Ended,
        Err(failure) => not_succeeded(&failure),
    }
}

fn not_succeeded(failure: &Failure) -> HandedOver {
    let why = failure.message.trim_start_matches("error: ");
    tracing::error!("nobody has taken over, this process goes on: {why}");
    HandedOver::Failed
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
    HandOver,
    Drain,
}

struct Signals {
    hangup: Signal,
    user2: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Whether another process has taken over, which the next order to end is meant for.
    retired: bool,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(text);
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            user2: listen(SignalKind::user_defined2())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            retired: false,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            _ = self.user2.recv() => Order::HandOver,
            _ = self.terminate.recv() => Order::Drain,
            _ = self.interrupt.recv() => Order::Drain,
        }
    }

    /// Waits for the order to end. What else is ordered meanwhile isn't done, and is said not to be.
    async fn next_drain(&mut self) {
        loop {
            match self.next().await {
                Order::Drain if std::mem::take(&mut self.retired) => {
                    tracing::info!(
                        "this process is draining already; one more signal ends it at once"
                    );
                }
                Order::Drain => return,
                Order::Reload => tracing::warn!("not reloaded: this process hands over or ends"),
                Order::HandOver => {
                    tracing::warn!("not handed over: this process hands over or ends")
                }
            }
        }
    }
}
