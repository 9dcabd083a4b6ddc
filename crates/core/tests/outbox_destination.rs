//! A destination of stored writes through random steps: what never happens, and that it always comes back.

use mainstay_core::outbox::{DeadReason, Destination, Next, StoppedReason, WallTime};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// As many are claimed as there is room for, if as many are there.
    Claim {
        there: u16,
        next_due: Option<u64>,
    },
    /// One that is on its way ends.
    End(Next),
    Wait(u64),
    SetMost(u16),
}

fn ends() -> impl Strategy<Value = Next> {
    let hold = proptest::option::of(0u64..40_000);
    prop_oneof![
        4 => Just(Next::Delivered),
        1 => Just(Next::Dead(DeadReason::Rejected)),
        1 => Just(Next::Dead(DeadReason::Exhausted)),
        1 => Just(Next::Stopped(StoppedReason::MaybeDone)),
        1 => Just(Next::Stopped(StoppedReason::NoRoute)),
        2 => (hold, any::<bool>()).prop_map(|(hold, counts)| Next::Again {
            at: WallTime(50_000),
            counts,
            hold_until: hold.map(WallTime),
        }),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u16..40, proptest::option::of(0u64..60_000))
            .prop_map(|(there, next_due)| Step::Claim { there, next_due }),
        4 => ends().prop_map(Step::End),
        2 => (0u64..5_000).prop_map(Step::Wait),
        1 => (0u16..20).prop_map(Step::SetMost),
    ]
}

/// What is kept beside it, as plainly as can be.
struct Model {
    now: u64,
    most: u16,
    in_flight: u16,
    held_until: u64,
    /// Claimed since the last hold began, and not yet back.
    claimed_since_hold: u16,
    /// Whether anything has ended since the last hold began.
    ended_since_hold: bool,
}

fn check(first_most: u16, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut destination = Destination::new(first_most);
    let mut model = Model {
        now: 0,
        most: first_most.max(1),
        in_flight: 0,
        held_until: 0,
        claimed_since_hold: 0,
        ended_since_hold: false,
    };
    for step in steps {
        match step {
            Step::Claim { there, next_due } => {
                let room = destination.room(WallTime(model.now));
                if let Some(room) = room {
                    prop_assert!(room > 0);
                    prop_assert!(model.now >= model.held_until, "it is held");
                    prop_assert!(model.in_flight + room <= model.most, "more than it may");
                    let count = there.min(room);
                    destination.on_claimed(count, next_due.map(WallTime));
                    model.in_flight += count;
                    model.claimed_since_hold += count;
                    let is_first = model.held_until > 0 && !model.ended_since_hold;
                    prop_assert!(
                        !is_first || model.claimed_since_hold <= 1,
                        "a stampede after a hold"
                    );
                }
            }
            Step::End(next) if model.in_flight > 0 => {
                destination.on_ended(next);
                model.in_flight -= 1;
                model.ended_since_hold = true;
                if let Next::Again { hold_until: Some(until), .. } = next {
                    model.held_until = model.held_until.max(until.0);
                    (model.claimed_since_hold, model.ended_since_hold) = (0, false);
                }
            }
            Step::End(_) => {}
            Step::Wait(millis) => model.now += millis,
            Step::SetMost(most) => {
                destination.set_most(most);
                model.most = most.max(1);
            }
        }
        let now = WallTime(model.now);
        let is_quiet = model.in_flight == 0 && model.held_until <= model.now;
        prop_assert_eq!(destination.is_quiet(now), is_quiet);
        // A look while it is held is at the hold's end, and no look is before it.
        if let Some(at) = destination.asks_again_at(now)
            && model.now < model.held_until
        {
            prop_assert_eq!(at.0, model.held_until);
        }
    }
    // Whatever came before: when all is back and the hold is over, there is room again.
    (0..model.in_flight).for_each(|_| destination.on_ended(Next::Delivered));
    let later = WallTime(model.now.max(model.held_until));
    prop_assert!(destination.room(later).is_some(), "it never comes back");
    Ok(())
}

proptest! {
    #[test]
    fn it_is_never_overrun_never_asked_while_held_and_never_forgotten(
        most in 0u16..20,
        steps in proptest::collection::vec(steps(), 0..200),
    ) {
        check(most, steps)?;
    }
}
