/* The words of network.html. */
export default {
  title: { en: "Inside a network that sees clothes", ko: "옷을 알아보는 신경망의 속" },
  lead: {
    en: "Draw something to wear. Every layer of the network answers as you draw.",
    ko: "입을 것을 하나 그려 보세요. 그리는 동안 신경망의 모든 층이 바로 반응합니다.",
  },
};
