//! The admin address.
use crate::error::StartError;
use crate::proxy::Control;
use mainstay_config::settings::Admin;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
}
pub(crate) fn check(admin: &Admin) -> Result<(), StartError> {
    if admin.token.is_none() && !admin.address.ip().to_canonical().is_loopback() {
        return Err(StartError::AdminWithoutToken(admin.address));
    }
    Ok(())
}
pub(crate) fn bind(admin: &Admin) -> Result<TcpListener, StartError> {
    check(admin)?;
    let mut s = crate::listen::bind(admin.address, 1)?;
    Ok(s.remove(0))
}
impl Server {
    pub(crate) fn start(socket: TcpListener, _: Arc<Control>) -> std::io::Result<Self> {
        Ok(Self { address: socket.local_addr()? })
    }
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}
