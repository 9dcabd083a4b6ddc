//! Begins and ends what breaks, and does what a fall does at once: connections end, work is lost.

use mainstay_lab::Fault;

use super::{Happening, Simulation};
use crate::trouble::Active;
use crate::world::Target;

impl Simulation {
    pub(super) fn begin_fault(&mut self, number: usize) {
        let Some(fault) = self.world.faults.get(number).cloned() else { return };
        let active = Active { number, rule: fault.rule, since: self.now };
        if let Some(turn) = active.next_turn_at(self.now) {
            self.agenda.put(turn, Happening::FaultTurns(number));
        }
        if let Some(lasting) = fault.lasting {
            self.agenda.put(self.now + lasting, Happening::FaultEnds(number));
        }
        match fault.target {
            Target::Between(a, b) => self.roads.begin(a, b, active),
            Target::Endpoints(places) => {
                for place in places {
                    if let Some(server) = self.servers.get_mut(place) {
                        server.begin(active.clone());
                    }
                    self.feel(number, place);
                }
            }
        }
    }

    /// A flapping fault goes down or up.
    pub(super) fn turn_fault(&mut self, number: usize) {
        let mut turn = None;
        for place in 0..self.servers.len() {
            let active = self.servers.get(place).and_then(|server| server.active(number));
            let Some(active) = active else { continue };
            turn = turn.or(active.next_turn_at(self.now));
            self.feel(number, place);
            self.put_to_work(place);
        }
        if let Some(turn) = turn {
            self.agenda.put(turn, Happening::FaultTurns(number));
        }
    }

    pub(super) fn end_fault(&mut self, number: usize) {
        self.roads.end(number);
        for place in 0..self.servers.len() {
            if let Some(server) = self.servers.get_mut(place) {
                server.end(number);
            }
            self.put_to_work(place);
        }
    }

    /// What a fault does at the moment at which it sets in.
    fn feel(&mut self, number: usize, place: usize) {
        let Some(server) = self.servers.get_mut(place) else { return };
        let fault = server.active(number).and_then(|active| active.fault(self.now));
        match fault {
            Some(Fault::Refuse) => {
                server.restart(self.now);
                self.lose_flights(place);
            }
            Some(Fault::Blackhole | Fault::HalfDead) => server.silent_before = self.now,
            _ => {}
        }
    }

    /// A server that has become stronger takes what waits.
    fn put_to_work(&mut self, place: usize) {
        let Some(server) = self.servers.get_mut(place) else { return };
        while let Some((flight, takes)) = server.next(self.now) {
            let what = Happening::Served { flight, life: server.life };
            self.agenda.put(self.now + takes, what);
        }
    }
}
