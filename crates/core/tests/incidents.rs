//! Incidents: told as dialogues, and against a plain model that remembers everything.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::time::Duration;

use mainstay_core::incident::{BeganBy, EndedBy, IncidentSettings, Turn, Watch};
use mainstay_core::{Checked, Timestamp};
use proptest::prelude::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Tells a watch with the default settings what happens, line by line: `MILLIS WHAT [-> TURN]`.
#[track_caller]
fn check(story: &str) {
    let (settings, mut watch) = (Checked::<IncidentSettings>::default(), Watch::default());
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (said, wanted) = line.split_once(" -> ").unwrap_or((line, ""));
        let (millis, what) = said.split_once(' ').unwrap();
        let now = at(millis.parse().unwrap());
        let turn = match what {
            "break" => watch.on_break(&settings, now),
            "opened" => watch.on_breaker_opened(&settings, now),
            "unhealthy" => watch.on_check_failed(&settings, now),
            "removed" => watch.on_removed(now),
            "time" => watch.on_time(&settings, now, false),
            "time, out" => watch.on_time(&settings, now, true),
            "closed" => {
                watch.on_breaker_closed(now);
                None
            }
            "healthy" => {
                watch.on_check_passed(now);
                None
            }
            answers => {
                let count = answers.strip_suffix(" answers").unwrap().parse().unwrap();
                watch.on_answers(&settings, count, now);
                None
            }
        };
        let turn = match turn {
            None => String::new(),
            Some(Turn::Began { at, by, breaks }) => {
                format!("began {} {} {breaks}", at.as_millis(), by.code())
            }
            Some(Turn::Ended { at, by }) => format!("ended {} {}", at.as_millis(), by.code()),
        };
        assert_eq!(turn, wanted, "{line}\n{story}");
    }
}

#[test]
fn an_outage_is_an_incident_within_a_second_and_a_lone_break_never() {
    check(
        "
        1000 break
        1100 break
        1200 break
        1300 break
        1400 break -> began 1000 breaks 5
        1500 break",
    );
    check(
        "
        1000 break
        4000 break
        7000 break
        10000 break
        13000 break
        16000 break",
    );
}

#[test]
fn breaks_that_are_too_far_back_dont_belong_to_it() {
    check(
        "
        1000 break
        2000 break
        11500 break
        11600 break
        11700 break
        11800 break -> began 2000 breaks 5",
    );
    check(
        "
        1000 break
        50000 break
        50001 opened -> began 50000 breaker-opened 1",
    );
}

#[test]
fn an_open_breaker_and_failing_checks_say_so_at_once() {
    check(
        "
        1000 break
        1001 opened -> began 1000 breaker-opened 1",
    );
    check("9000 unhealthy -> began 9000 check-failed 0");
}

#[test]
fn it_ends_when_the_breaker_has_closed_and_nothing_has_broken_since() {
    check(
        "
        1000 break
        1001 opened -> began 1000 breaker-opened 1
        3000 closed
        7999 time
        8000 time -> ended 3000 breaker-closed",
    );
}

#[test]
fn an_endpoint_that_comes_and_goes_is_one_incident() {
    check(
        "
        1000 break
        1001 opened -> began 1000 breaker-opened 1
        3000 closed
        4000 break
        4001 opened
        6000 closed
        7000 break
        20000 time
        21000 closed
        26000 time -> ended 21000 breaker-closed",
    );
}

#[test]
fn silence_ends_it_only_while_the_endpoint_is_asked() {
    check(
        "
        1000 break
        1001 opened -> began 1000 breaker-opened 1
        60999 time
        100000 time, out
        100001 time
        160000 time -> ended 100000 quiet",
    );
}

#[test]
fn answers_end_it_where_no_breaker_says_anything() {
    check(
        "
        1000 unhealthy -> began 1000 check-failed 0
        1100 19 answers
        1200 break
        1300 19 answers
        1400 1 answers
        1500 100 answers
        6399 time
        6400 time -> ended 1400 answers
        6500 break",
    );
}

#[test]
fn passed_checks_end_it_and_so_does_leaving_the_settings() {
    check(
        "
        1000 unhealthy -> began 1000 check-failed 0
        2000 healthy
        7000 time -> ended 2000 check-passed
        8000 removed
        9000 unhealthy -> began 9000 check-failed 0
        9500 removed -> ended 9500 removed",
    );
}

#[test]
fn the_default_settings_hold_their_own_rules_and_others_are_named() {
    let wrong = IncidentSettings {
        breaks: 1,
        within: Duration::ZERO,
        quiet_for: Duration::MAX,
        settle_for: Duration::MAX,
        answers: 0,
    };
    let problems = Checked::new(wrong).unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| &*problem.place).collect();
    assert_eq!(places, ["breaks", "within", "quiet_for", "settle_for", "answers"]);
    assert!(Checked::new(IncidentSettings::default()).is_ok());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Break,
    Opened,
    Unhealthy,
    Closed,
    Healthy,
    Answers(u32),
    Time { out: bool },
}

/// Everything that has happened since the last incident ended.
struct Model {
    settings: IncidentSettings,
    breaks: Vec<Timestamp>,
    open: bool,
    /// Signs since the last news that spoke against them.
    signs: Vec<(Timestamp, EndedBy)>,
    answers: u64,
    /// When something spoke for it last: a break, or that it is out.
    last: Timestamp,
}

impl Model {
    fn step(&mut self, step: Step, now: Timestamp) -> Option<Turn> {
        match step {
            Step::Break => {
                self.breaks.push(now);
                self.news();
                self.last = now;
                let most = usize::from(self.settings.breaks);
                let from = self.breaks.len().checked_sub(most)?;
                let near = now.since(self.breaks[from]) <= self.settings.within;
                if self.open || !near {
                    return None;
                }
                self.open = true;
                Some(Turn::Began {
                    at: self.breaks[from],
                    by: BeganBy::Breaks,
                    breaks: most as u16,
                })
            }
            Step::Opened => self.out(now, BeganBy::BreakerOpened),
            Step::Unhealthy => self.out(now, BeganBy::CheckFailed),
            Step::Closed => self.sign(now, EndedBy::BreakerClosed),
            Step::Healthy => self.sign(now, EndedBy::CheckPassed),
            Step::Answers(count) => {
                self.answers += u64::from(count);
                let enough = self.open && self.answers >= u64::from(self.settings.answers);
                if enough { self.sign(now, EndedBy::Answers) } else { None }
            }
            Step::Time { out } => {
                if !self.open {
                    return None;
                }
                let sign = self.signs.first().copied();
                let settled = sign.filter(|(at, _)| now.since(*at) >= self.settings.settle_for);
                if out {
                    self.last = now;
                }
                let quiet = now.since(self.last) >= self.settings.quiet_for;
                let quiet = quiet.then_some((self.last, EndedBy::Quiet));
                let (at, by) = settled.or(quiet)?;
                (self.open, self.breaks) = (false, Vec::new());
                self.news();
                Some(Turn::Ended { at, by })
            }
        }
    }

    fn out(&mut self, now: Timestamp, by: BeganBy) -> Option<Turn> {
        self.news();
        if self.open {
            return None;
        }
        self.open = true;
        let near = self.breaks.iter().filter(|at| now.since(**at) <= self.settings.within);
        let near: Vec<_> = near.copied().collect();
        // As many are remembered as make an incident.
        let near = &near[near.len().saturating_sub(usize::from(self.settings.breaks))..];
        self.last = now;
        Some(Turn::Began { at: *near.first().unwrap_or(&now), by, breaks: near.len() as u16 })
    }

    fn sign(&mut self, now: Timestamp, by: EndedBy) -> Option<Turn> {
        if self.open {
            self.signs.push((now, by));
        }
        None
    }

    fn news(&mut self) {
        (self.signs, self.answers) = (Vec::new(), 0);
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Break),
        1 => Just(Step::Opened),
        1 => Just(Step::Unhealthy),
        1 => Just(Step::Closed),
        1 => Just(Step::Healthy),
        2 => (0_u32..15).prop_map(Step::Answers),
        4 => any::<bool>().prop_map(|out| Step::Time { out }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// It says what the model says; turns alternate; none ends before it began; a deadline is never later than an end.
    #[test]
    fn it_agrees_with_a_model_that_remembers_everything(
        steps in prop::collection::vec((step(), 0_u64..9_000), 1..200),
        breaks in 2_u16..6,
        settle in 0_u64..8,
    ) {
        let settings = IncidentSettings {
            breaks,
            settle_for: Duration::from_secs(settle),
            quiet_for: Duration::from_secs(30),
            ..IncidentSettings::default()
        };
        let mut model = Model {
            settings: settings.clone(),
            breaks: Vec::new(),
            open: false,
            signs: Vec::new(),
            answers: 0,
            last: at(0),
        };
        let settings = Checked::new(settings).unwrap();
        let (mut watch, mut now, mut began) = (Watch::default(), at(1), None);
        for (step, wait) in steps {
            now = now + Duration::from_millis(wait);
            let due = watch.next_deadline(&settings);
            let turn = match step {
                Step::Break => watch.on_break(&settings, now),
                Step::Opened => watch.on_breaker_opened(&settings, now),
                Step::Unhealthy => watch.on_check_failed(&settings, now),
                Step::Closed => {
                    watch.on_breaker_closed(now);
                    None
                }
                Step::Healthy => {
                    watch.on_check_passed(now);
                    None
                }
                Step::Answers(count) => {
                    watch.on_answers(&settings, count, now);
                    None
                }
                Step::Time { out } => watch.on_time(&settings, now, out),
            };
            if !model.open {
                // Answers count from an incident's begin on.
                model.answers = 0;
            }
            prop_assert_eq!(turn, model.step(step, now));
            prop_assert_eq!(watch.is_open(), model.open);
            match turn {
                Some(Turn::Began { at, .. }) => {
                    prop_assert!(began.is_none() && at <= now);
                    began = Some(at);
                }
                Some(Turn::Ended { at, .. }) => {
                    prop_assert!(began.take().is_some_and(|began| began <= at));
                    prop_assert!(due <= now);
                }
                None => {}
            }
        }
    }
}
