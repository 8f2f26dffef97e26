//! An authority, and certificates of it.
#![allow(dead_code, unreachable_pub, reason = "each suite uses its part")]

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority, and certificates of it, in a directory.
pub struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(directory: &Path) -> Self {
        let (key, mut ca) =
            (KeyPair::generate().expect("it works"), CertificateParams::new(Vec::new()).expect("it works"));
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::create_dir_all(directory).expect("it works");
        std::fs::write(directory.join("ca.pem"), ca.self_signed(&key).expect("it works").pem()).expect("it works");
        Self { directory: directory.to_owned(), issuer: Issuer::new(ca, key) }
    }

    pub fn certify(&self, file: &str, name: &str) {
        let key = KeyPair::generate().expect("it works");
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .expect("it works")
            .signed_by(&key, &self.issuer)
            .expect("it works");
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).expect("it works");
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).expect("it works");
    }

    pub fn path(&self, file: &str) -> String {
        self.directory.join(file).to_str().expect("it works").to_owned()
    }

    pub fn peer_flags(&self) -> [String; 6] {
        let flag = |name: &str| name.to_owned();
        let [cert, key, ca] = ["node.pem", "node.key", "ca.pem"].map(|file| self.path(file));
        [flag("--peer-tls-cert"), cert, flag("--peer-tls-key"), key, flag("--peer-tls-ca"), ca]
    }
}
