// English words that say nothing about a text's subject.

const english =
  "a about after all also am an and any are as at be because been before being but by can could did do does for from had has have he her " +
  "here hers him his how i if in into is it it's its just me more most my no nor not of off on one only or other our out over own same she " +
  "should so some such than that the their theirs them then there these they this those through to too under until up us very was we were " +
  "what when where which while who whom why will with would you your yours";

export function stopWords(language: string): Set<string> | null {
  const words = new Set<string>();
  if (language == "none") return words;
  if (language != "en") return null;
  const list = english.split(" ");
  for (let i = 0; i < list.length; i++) words.add(list[i]);
  return words;
}
