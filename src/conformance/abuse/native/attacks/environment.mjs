process.stdout.write(JSON.stringify({ env: process.env, args: process.argv.slice(3) }));
