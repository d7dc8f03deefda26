use std::time::Instant;
fn main() {
    let t = Instant::now();
    let rules = watchbell::rules::RuleSet::load(true, &[]).unwrap();
    println!("load {:?}", t.elapsed());
    let t = Instant::now();
    let mut schema = watchbell::event::Schema::new();
    let m = watchbell::matching::Matcher::compile(&rules, &mut schema);
    println!("compile {:?} sizes {:?} mem {} fields {}", t.elapsed(), m.texts().sizes(), m.texts().memory_usage(), schema.len());
    m.debug(&rules);
    println!("value size {}", std::mem::size_of::<watchbell::event::Value>());
}
