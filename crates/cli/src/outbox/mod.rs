//! `mainstay outbox`: stored writes, for whoever has to do something about them.
//!
//! It works on the store itself, so that it needs no running proxy, and disturbs none: a running one notices within half a
//! second. What changes something says of how many; with neither ids nor a filter it wants `--all`, so that a forgotten
//! word doesn't drop everything.

mod tell;

use std::path::Path;
use std::process::ExitCode;

use mainstay_config::settings::Outbox as Settings;
use mainstay_outbox::store::{Access, intake_sql};
use mainstay_outbox::{DeliveryId, Filter, Keys, Page, State, Store, StoreError};
use mainstay_proxy::OutboxError;

use crate::args::{Outbox, OutboxWhat, Those};
use crate::exit::{Failure, print, text};

pub(crate) fn run(args: &Outbox) -> Result<ExitCode, Failure> {
    if let OutboxWhat::Init { .. } = args.what {
        let settings = settings(args)?;
        let table = settings.intake.as_deref().unwrap_or(INTAKE);
        print(&intake_sql(table, &settings.schema))?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, store) = (runtime.map_err(text)?, open(args)?);
    runtime.block_on(command(&store, &args.what))
}

/// Where the store is.
fn settings(args: &Outbox) -> Result<Settings, Failure> {
    match (&args.config, &args.store) {
        (Some(config), _) => {
            let loaded =
                mainstay_config::load(config).map_err(|errors| Failure::settings(&errors))?;
            Ok(loaded.settings.outbox)
        }
        (None, Some(store)) => Ok(Settings { path: store.clone(), ..Settings::default() }),
        (None, None) => Err(Failure::usage("say --config FILE or --store FILE")),
    }
}

/// The store that is meant.
fn open(args: &Outbox) -> Result<Store, Failure> {
    let mut settings = settings(args)?;
    settings.keys.extend(args.key.iter().map(|key| key.to_string_lossy().into_owned()));
    let keys = Keys::read(settings.keys.iter().map(Path::new)).map_err(Failure::usage)?;
    // What limits what is accepted is no matter here: nothing is.
    mainstay_proxy::open_store(&settings, keys, Access::Visit).map_err(|error| match error {
        OutboxError::Open(error) => Failure::of(error),
        error => Failure::usage(error),
    })
}

async fn command(store: &Store, what: &OutboxWhat) -> Result<ExitCode, Failure> {
    match what {
        OutboxWhat::List { those, limit, after, json } => {
            let page = Page { after: *after, most: *limit };
            let list = store.list(filter(those)?, page).await.map_err(Failure::of)?;
            if *json {
                for summary in &list {
                    print(&(serde_json::to_string(summary).map_err(text)? + "\n"))?;
                }
            } else {
                print(&tell::list(&list, store.now()))?;
            }
        }
        OutboxWhat::Show { id, json, with_secrets } => {
            let detail = store.detail(parsed(id)?).await.map_err(Failure::of)?;
            let shown = match json {
                true => tell::document(&detail, *with_secrets).to_string() + "\n",
                false => tell::detail(&detail, *with_secrets, store.now()),
            };
            print(&shown)?;
        }
        OutboxWhat::Retry { those, rate } => {
            let count = store.retry(meant(those)?, *rate, store.now()).await;
            done(count, "tried again")?;
        }
        OutboxWhat::Drop { those } => {
            let count = store.drop_those(meant(those)?, store.now()).await;
            done(count, "dropped")?;
        }
        OutboxWhat::Settle { those } => {
            let count = store.settle(meant(those)?, store.now()).await;
            done(count, "taken as done")?;
        }
        OutboxWhat::Export { those, with_secrets } => export(store, those, *with_secrets).await?,
        OutboxWhat::Stats { json } => {
            let totals = store.totals().await.map_err(Failure::of)?;
            let shown = match json {
                true => serde_json::to_string(&totals).map_err(text)? + "\n",
                false => tell::totals(&totals, store.now()),
            };
            print(&shown)?;
        }
        // It needs no store, and was done.
        OutboxWhat::Init { .. } => {}
        OutboxWhat::Check => {
            let faults = store.check().await.map_err(Failure::of)?;
            for fault in &faults {
                print(&format!("{fault}\n"))?;
            }
            if !faults.is_empty() {
                return Err(Failure::of(format_args!("{} faults", faults.len())));
            }
            print("everything is what was written\n")?;
        }
        OutboxWhat::Backup { to } => {
            store.backup(to.clone()).await.map_err(Failure::of)?;
            print(&format!("copied to {}\n", to.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All of them with all that is known, page by page, so that a million takes no memory.
async fn export(store: &Store, those: &Those, with_secrets: bool) -> Result<(), Failure> {
    let (filter, mut after) = (filter(those)?, None);
    loop {
        let page = Page { after, most: EXPORTED_AT_A_TIME };
        let list = store.list(filter.clone(), page).await.map_err(Failure::of)?;
        let Some(last) = list.last() else { return Ok(()) };
        after = Some(last.seq);
        for summary in list {
            match store.detail(summary.id).await {
                Ok(detail) => print(&format!("{}\n", tell::document(&detail, with_secrets)))?,
                // Finished and forgotten since it was listed.
                Err(StoreError::Unknown) => {}
                Err(error) => return Err(Failure::of(error)),
            }
        }
    }
}

fn done(count: Result<u64, StoreError>, what: &str) -> Result<(), Failure> {
    match count.map_err(Failure::of)? {
        0 => Err(Failure::of("there are none such in a state in which that can be done")),
        count => print(&format!("{count} {what}\n")),
    }
}

/// Those that are meant to be changed: something has to be said.
fn meant(those: &Those) -> Result<Filter, Failure> {
    let filter = filter(those)?;
    if filter == Filter::default() && !those.all {
        return Err(Failure::usage("say which: ids, a filter such as --state dead, or --all"));
    }
    Ok(filter)
}

fn filter(those: &Those) -> Result<Filter, Failure> {
    let state = |name: &String| {
        let known = State::NAMES.into_iter().find(|known| known == name);
        let allowed = State::NAMES.join(", ");
        known.ok_or_else(|| {
            Failure::usage(format!("--state: `{name}` isn't one; allowed: {allowed}"))
        })
    };
    Ok(Filter {
        ids: those.ids.iter().map(|id| parsed(id)).collect::<Result<_, _>>()?,
        states: those.state.iter().map(state).collect::<Result<_, _>>()?,
        reason: those.reason.clone(),
        upstream: those.upstream.clone(),
        lane: those.lane.clone(),
    })
}

fn parsed(id: &str) -> Result<DeliveryId, Failure> {
    id.trim().parse().map_err(|error| Failure::usage(format!("`{id}`: {error}")))
}

/// The table of which writes are taken in, where the config names none.
const INTAKE: &str = "mainstay_outbox";

const EXPORTED_AT_A_TIME: u32 = 200;
