// Waiting for what a server does in its own time.
export async function until(look, what) {
  const ends = Date.now() + 20_000;
  while (Date.now() < ends) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain for ${what}`);
}
