#[test]
fn adhoc() {
    if std::env::var_os("FATHOM_GUEST").is_none() {
        return;
    }
    std::fs::write("/tmp/adhoc.sh", include_str!("/tmp/adhoc.sh")).unwrap();
    let o = std::process::Command::new("sh")
        .arg("/tmp/adhoc.sh")
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&o.stdout));
    panic!("{}", String::from_utf8_lossy(&o.stderr));
}
