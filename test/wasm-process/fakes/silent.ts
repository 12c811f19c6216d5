/** A child that never says that it is there. */
setInterval(() => undefined, 1000);
