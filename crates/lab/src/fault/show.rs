//! Writes a rule as the line it is read from, all parameters spelled out.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::{Delay, Ending, Fault, Ratio, RetryAfter, Rule};

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)?;
        let scope = &self.scope;
        if scope.ratio != Ratio::ALL {
            write!(f, " ratio={}", f64::from(scope.ratio.millionths()) / 1e6)?;
        }
        if !scope.methods.is_empty() {
            write!(f, " methods={}", scope.methods.join(","))?;
        }
        if !scope.path.is_empty() {
            write!(f, " path={}", scope.path)?;
        }
        Ok(())
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::ResetInBody { at }
            | Self::Truncate { at }
            | Self::TruncateChunked { at }
            | Self::Stall { at } => at.map_or(Ok(()), |at| write!(f, " at={at}")),
            Self::Trickle { bytes, every } => write!(f, " bytes={bytes} every={}", Ms(*every)),
            Self::Slow(Delay::Fixed(delay)) => write!(f, " fixed={}", Ms(*delay)),
            Self::Slow(Delay::Uniform(from, to)) => {
                write!(f, " uniform={}..{}", Ms(*from), Ms(*to))
            }
            Self::Slow(Delay::LogNormal { median, p99 }) => {
                write!(f, " median={} p99={}", Ms(*median), Ms(*p99))
            }
            Self::Status { code, executed } => write!(f, " code={code} executed={executed}"),
            Self::Throttle { code, retry_after } => {
                write!(f, " code={code} retry-after={retry_after}")
            }
            Self::CloseIdle { after } => write!(f, " after={}", Ms(*after)),
            Self::CloseOnReuse { with: Ending::Fin } => f.write_str(" with=fin"),
            Self::CloseOnReuse { with: Ending::Reset } => f.write_str(" with=rst"),
            Self::Garbage { bytes } => write!(f, " bytes={bytes}"),
            Self::Flap { up, down, fault } => {
                write!(f, " up={} down={} {fault}", Ms(*up), Ms(*down))
            }
            Self::Capacity { concurrency, service, queue, collapse } => {
                let service = Ms(*service);
                write!(
                    f,
                    " concurrency={concurrency} service={service} queue={queue} collapse={collapse}"
                )
            }
            Self::Cold { extra, lasting } => {
                write!(f, " extra={} for={}", Ms(*extra), Ms(*lasting))
            }
            Self::Healthy
            | Self::Refuse
            | Self::Hang
            | Self::ResetBefore
            | Self::ResetAfterExecute
            | Self::CloseBefore
            | Self::ResetAfterHead
            | Self::StallHead
            | Self::H2RefuseStream
            | Self::H2GoAway => Ok(()),
        }
    }
}

impl Fault {
    /// The word that its line begins with.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::ResetBefore => "reset-before",
            Self::ResetAfterExecute => "reset-after-execute",
            Self::CloseBefore => "close-before",
            Self::ResetAfterHead => "reset-after-head",
            Self::ResetInBody { .. } => "reset-in-body",
            Self::Truncate { .. } => "truncate",
            Self::TruncateChunked { .. } => "truncate-chunked",
            Self::Stall { .. } => "stall",
            Self::StallHead => "stall-head",
            Self::Trickle { .. } => "trickle",
            Self::Slow(_) => "slow",
            Self::Status { .. } => "status",
            Self::Throttle { .. } => "throttle",
            Self::CloseIdle { .. } => "close-idle",
            Self::CloseOnReuse { .. } => "close-on-reuse",
            Self::Garbage { .. } => "garbage",
            Self::Flap { .. } => "flap",
            Self::Capacity { .. } => "capacity",
            Self::Cold { .. } => "cold",
            Self::H2RefuseStream => "h2-refuse-stream",
            Self::H2GoAway => "h2-goaway",
        }
    }
}

impl Display for RetryAfter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none"),
            Self::Seconds(seconds) => write!(f, "{seconds}"),
            Self::Date(seconds) => write!(f, "date+{seconds}"),
        }
    }
}

/// A length of time in milliseconds, with its fraction if it has one.
struct Ms(Duration);

impl Display for Ms {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_micros() as f64 / 1e3)
    }
}
