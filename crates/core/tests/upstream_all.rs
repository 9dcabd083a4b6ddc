//! The upstream as its users meet it: many picks, faults, checks and reloads, in virtual time and with fixed seeds.

mod upstream {
    mod balance;
    mod ejection;
    mod failover;
    mod health;
    mod orders;
    mod random;
    mod reload;
    mod threads;
    mod world;
}
