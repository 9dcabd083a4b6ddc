//! Downloads: a body on its way into a file, or whatever else can be written.

use std::future::poll_fn;
use std::pin::Pin;

use tokio::io::AsyncWrite;

use super::{Error, Response};

impl Response {
    /// Writes all of its body into `to`, flushes it, and says how many bytes it was. A body that breaks is continued where that can be proved
    /// to be right (the policy's `heal`); what has been written is never written again.
    ///
    /// ```no_run
    /// # async fn example(client: mainstay::Mainstay, mut file: impl tokio::io::AsyncWrite + Unpin) -> Result<(), mainstay::Error> {
    /// let response = client.get("https://files.example/large").send().await?.error_for_status()?;
    /// let bytes = response.copy_to(&mut file).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The body broke, and couldn't be continued; or writing failed. What was written until then stays.
    pub async fn copy_to<W: AsyncWrite + Unpin + ?Sized>(
        mut self,
        to: &mut W,
    ) -> Result<u64, Error> {
        let mut written = 0;
        while let Some(piece) = self.chunk().await? {
            let mut left = &piece[..];
            while !left.is_empty() {
                let taken = poll_fn(|cx| Pin::new(&mut *to).poll_write(cx, left)).await;
                let taken = taken.map_err(Error::write)?;
                if taken == 0 {
                    return Err(Error::write(std::io::ErrorKind::WriteZero.into()));
                }
                left = &left[taken..];
            }
            written += piece.len() as u64;
        }
        poll_fn(|cx| Pin::new(&mut *to).poll_flush(cx)).await.map_err(Error::write)?;
        Ok(written)
    }
}
