//! Tests of the URLs and addresses that the vault calls.

use std::net::IpAddr;

use super::{AddressRule, EndpointUrl};

fn permits(rule: AddressRule, address: &str) -> bool {
    rule.permits(address.parse::<IpAddr>().unwrap())
}

#[test]
fn only_public_addresses_are_called() {
    for address in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:8.8.8.8",
        "::ffff:10.0.0.1",
        "::8.8.8.8",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!permits(AddressRule::Public, address), "{address}");
    }
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.1",
        "100.63.0.1",
        "100.128.0.1",
        "126.0.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00::1",
        "3ffe::1",
    ] {
        assert!(permits(AddressRule::Public, address), "{address}");
    }
}

#[test]
fn the_rule_of_the_local_stack_adds_this_machine_and_nothing_else() {
    for address in ["127.0.0.1", "127.8.8.8", "::1", "8.8.8.8"] {
        assert!(permits(AddressRule::PublicOrLoopback, address), "{address}");
    }
    for address in ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1"] {
        assert!(
            !permits(AddressRule::PublicOrLoopback, address),
            "{address}"
        );
    }
}

#[test]
fn a_url_that_names_a_private_address_in_any_spelling_is_refused() {
    for url in [
        "https://10.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://017700000001/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://localhost/",
        "https://a.localhost/",
        "http://localhost/",
        "https://169.254.169.254/latest/meta-data",
    ] {
        let url = EndpointUrl::try_from(url.to_owned()).unwrap();
        AddressRule::Public.check(&url).unwrap_err();
    }
    for url in [
        "https://example.com/",
        "https://8.8.8.8/",
        "https://example.com:8443/a?b=c",
    ] {
        let url = EndpointUrl::try_from(url.to_owned()).unwrap();
        AddressRule::Public.check(&url).unwrap();
    }
}

#[test]
fn a_url_of_another_form_is_refused() {
    for url in [
        "",
        "example.com",
        "http://example.com/",
        "ftp://example.com/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com/#part",
        "file:///etc/passwd",
        "https://",
        &format!("https://example.com/{}", "a".repeat(2048)),
    ] {
        EndpointUrl::try_from(url.to_owned()).unwrap_err();
    }
}

/// The row of the endpoint holds the encoded URL, and is read with the same check.
#[test]
fn a_url_that_is_too_long_once_it_is_encoded_is_refused() {
    let url = |length| EndpointUrl::try_from(format!("https://example.com/{}", "é".repeat(length)));
    assert_eq!(
        url(1000).unwrap_err().to_string(),
        "must NOT have more than 2048 characters when characters outside ASCII are percent-encoded"
    );
    let accepted = url(300).unwrap();
    assert_eq!(
        EndpointUrl::try_from(String::from(accepted.clone())),
        Ok(accepted)
    );
}
